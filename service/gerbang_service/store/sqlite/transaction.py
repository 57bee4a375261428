"""The primitives of a write: what an operation may do inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence

from gerbang_service.domain.changes import Change
from gerbang_service.domain.errors import SubjectNotFound, WatchlistNotFound
from gerbang_service.domain.subjects import NewTemplate, Subject
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.store.following import touched_by
from gerbang_service.store.port import AnsweredRequest
from gerbang_service.store.sqlite.answers import erase_answers, forget_answers, insert_answer
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.store.sqlite.reading import SqliteReader
from gerbang_service.store.sqlite.rows import (
    SUBJECT_COLUMNS,
    WATCHLIST_COLUMNS,
    quality_text,
    subject_values,
    vector_place,
    watchlist_values,
)

# Changes that are remembered, at least: more than are made while a new process loads a large gallery (a million
# templates take seconds, in each of which some thousands may be enrolled). Who is farther behind has to start anew.
_RECORDED = 100_000
# Memberships of deleted lists are deleted so many at a time.
_LEAVE_AT_ONCE = 2000
# Older ones are forgotten a few at a time, so that no write takes long.
_FORGOTTEN_EVERY = 1000


class SqliteTransaction(SqliteReader):
    """A port.Transaction on the writer's connection; used by its thread only.

    sqlite3.Error passes through: the store turns it into StoreUnavailable and undoes the whole group.
    """

    def __init__(self, connection: Connection, revision: int) -> None:
        super().__init__(connection)
        self._revision = revision

    def revision(self) -> int:
        """Return the revision of the last change, of this transaction's too."""
        return self._revision

    def next_revision(self) -> int:
        """Count one change and return its revision."""
        self._revision += 1
        return self._revision

    def back_to(self, revision: int) -> None:
        """Count no changes after that revision: what made them was undone."""
        self._revision = revision

    def put_watchlist(self, watchlist: Watchlist) -> None:
        """Insert a watchlist, or overwrite the one of its id."""
        columns = WATCHLIST_COLUMNS.split(", ")
        updates = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
        self._connection.execute(
            f"INSERT INTO watchlists ({WATCHLIST_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608
            f"ON CONFLICT (watchlist_id) DO UPDATE SET {updates}",
            watchlist_values(watchlist, self._connection.cipher),
        )

    def delete_watchlist(self, watchlist_id: str) -> None:
        """Delete a watchlist; its subjects leave it."""
        # The members of a long list leave it later, a few at a time: see `leave_gone_lists`.
        self._connection.execute("DELETE FROM watchlists WHERE watchlist_id = ?", (watchlist_id,))
        leave_gone_lists(self._connection)

    def put_subject(self, subject: Subject) -> None:
        """Insert a subject, or overwrite the one of its id; its templates are left as they are."""
        self._connection.execute(
            f"INSERT INTO subjects ({SUBJECT_COLUMNS}) "  # noqa: S608 - constant columns
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (subject_id) DO UPDATE SET valid_from_ns = excluded.valid_from_ns, "
            "expire_time_ns = excluded.expire_time_ns, labels = excluded.labels, "
            "create_time_ns = excluded.create_time_ns, update_time_ns = excluded.update_time_ns",
            subject_values(subject, self._connection.cipher),
        )
        self._put_on(subject)

    def _put_on(self, subject: Subject) -> None:
        """Have a stored subject on its lists, and on no others."""
        key, name = self._key(subject.subject_id), subject.subject_id
        query = "SELECT list_key FROM watchlists WHERE watchlist_id = ?"
        wanted = set[int]()
        for each in subject.watchlists:
            row = self._connection.execute(query, (each,)).fetchone()
            if row is None:
                raise WatchlistNotFound(f"no watchlist {each}", watchlist_id=each)
            wanted.add(row[0])
        query = "SELECT list_key FROM memberships WHERE subject_key = ?"
        known = {each for (each,) in self._connection.execute(query, (key,))}
        left, joined = ((each, name) for each in known - wanted), ((each, name, key) for each in wanted - known)
        self._connection.executemany("DELETE FROM memberships WHERE list_key = ? AND subject_id = ?", left)
        self._connection.executemany("INSERT INTO memberships VALUES (?, ?, ?)", joined)

    def add_templates(
        self, subject_id: str, templates: Sequence[NewTemplate], model: str, create_time_ns: int
    ) -> list[int]:
        """Insert templates of a stored subject and return their ids, in order."""
        key = self._key(subject_id)
        if key is None:
            raise SubjectNotFound(f"no subject {subject_id}", subject_id=subject_id)
        # Ids are known before the rows are, so that vectors can be sealed for them.
        first = self._last_template_id() + 1
        ids = list(range(first, first + len(templates)))
        for template_id, template in zip(ids, templates, strict=True):
            quality = quality_text(template.quality)
            vector = self._connection.cipher.seal(
                template.vector.astype("<f4").tobytes(),
                vector_place(template_id, subject_id, model, quality, create_time_ns),
            )
            self._connection.execute(
                "INSERT INTO templates (template_id, subject_key, model, quality, create_time_ns, vector) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (template_id, key, model, quality, create_time_ns, vector),
            )
        return ids

    def _last_template_id(self) -> int:
        # SQLite's own count, of those deleted since as well; there is no row before the first template.
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'templates'").fetchone()
        return 0 if row is None else int(row[0])

    def delete_template(self, template_id: int) -> None:
        """Delete one template."""
        self._connection.execute("DELETE FROM templates WHERE template_id = ?", (template_id,))

    def delete_templates(self, subject_id: str) -> None:
        """Delete all templates of a subject."""
        key = self._key(subject_id)
        self._connection.execute("DELETE FROM templates WHERE subject_key = ?", (key,))

    def delete_subject(self, subject_id: str) -> None:
        """Delete a subject with all that is stored of it; answers about it become `erased`."""
        self._connection.execute("DELETE FROM subjects WHERE subject_id = ?", (subject_id,))
        erase_answers(self._connection, subject_id)

    def keep_answer(self, answer: AnsweredRequest) -> None:
        """Remember the answer to a request, for its repeats."""
        insert_answer(self._connection, self._connection.cipher, answer)

    def forget_answers(self, before_ns: int, most: int) -> int:
        """Forget up to `most` answers that are older, the oldest first, and return how many were forgotten."""
        return forget_answers(self._connection, before_ns, most)

    def record(self, change: Change) -> None:
        """Remember what a change was about, for processes that follow this one's."""
        self._connection.execute("INSERT INTO changes VALUES (?, ?, ?, ?)", (change.revision, *touched_by(change)))
        if change.revision % _FORGOTTEN_EVERY == 0:
            self._connection.execute("DELETE FROM changes WHERE revision <= ?", (change.revision - _RECORDED,))


def leave_gone_lists(connection: Connection) -> bool:
    """Delete some of the memberships that are left of deleted lists, in the transaction that is open.

    Tells whether more are left. So few that other writes hardly wait: with all their pages in two indexes, those of a
    hundred thousand take seconds.
    """
    row = connection.execute("SELECT list_key FROM gone_lists LIMIT 1").fetchone()
    if row is None:
        return False
    # Whatever a damaged page says: nobody is taken off a list that is there.
    query = (
        "DELETE FROM memberships WHERE list_key = ?1 AND NOT EXISTS (SELECT 1 FROM watchlists WHERE list_key = ?1) "
        "AND subject_id IN (SELECT subject_id FROM memberships WHERE list_key = ?1 LIMIT ?2)"
    )
    if connection.execute(query, (row[0], _LEAVE_AT_ONCE)).rowcount < _LEAVE_AT_ONCE:
        connection.execute("DELETE FROM gone_lists WHERE list_key = ?", row)
    return connection.execute("SELECT 1 FROM gone_lists").fetchone() is not None
