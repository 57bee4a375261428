"""The primitives of a write: what an operation may do inside a transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence

from gerbang_service.domain.changes import Change
from gerbang_service.domain.errors import SubjectNotFound, WatchlistNotFound
from gerbang_service.domain.subjects import NewTemplate, Subject
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.store.following import touched_by
from gerbang_service.store.port import AnsweredRequest
from gerbang_service.store.sqlite.answers import answer_values, erase_answers, forget_answers
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.store.sqlite.gone_lists import leave_gone_lists
from gerbang_service.store.sqlite.meta import note_seen_time
from gerbang_service.store.sqlite.proposals import ProposalChanges
from gerbang_service.store.sqlite.reading import SqliteReader
from gerbang_service.store.sqlite.rows import (
    SUBJECT_ROW,
    WATCHLIST_ROW,
    chain_text,
    quality_text,
    subject_values,
    vector_place,
    watchlist_values,
)
from gerbang_service.store.sqlite.tally import Turnover
from gerbang_service.store.sqlite.waiting_rows import NOTHING, WaitingRows

# Changes that are remembered, at least: more than are made while a new process loads a large gallery (a million
# templates take seconds, in each of which some thousands may be enrolled). Who is farther behind has to start anew.
_RECORDED = 100_000
# Older ones are forgotten a few at a time, so that no write takes long.
_FORGOTTEN_EVERY = 1000
# Of a sealed vector as much as tells it from others, to count it by.
_TAIL_BYTES = 16
_TAIL = f"substr(vector, -{_TAIL_BYTES})"
_LABELS = SUBJECT_ROW.split(", ").index("labels")


class SqliteTransaction(ProposalChanges, SqliteReader):
    """A port.Transaction on the writer's connection; used by its thread only.

    Rows of who is new, and new templates and answers, wait to be inserted with those of others: `finish` does it, and
    whatever asks for the connection, so that it finds them there. sqlite3.Error passes through: the store turns it into
    StoreUnavailable and undoes the whole group.
    """

    def __init__(self, connection: Connection, revision: int) -> None:
        super().__init__(connection)
        self._revision = revision
        self._cipher = connection.cipher.of_one_group()
        self._waiting = WaitingRows()
        self._turnover = Turnover()
        # As the operation found it; whether it has a savepoint: one that only adds rows needs none.
        self._before = revision, NOTHING
        self._turnover_before = self._turnover.mark()
        self._saved = False
        # What was read before in this transaction: ids that nobody has, and lists.
        self._unknown: set[str] = set()
        self._lists: dict[str, Watchlist] = {}
        self._list_keys: dict[str, int] = {}
        self._last: dict[str, int] = {}

    @property
    def _connection(self) -> Connection:
        if not self._saved:
            revision, mark = self._before
            self._waiting.insert(self._open, mark)
            self._before = revision, NOTHING
            self._open.execute("SAVEPOINT operation")
            self._saved = True
        self._waiting.insert(self._open)
        return self._open

    def _connection_of(self, table: str, key: str) -> Connection:
        return self._open if self._waiting.get(table, key) is None else self._connection

    # --- operations -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin an operation."""
        self._before = self._revision, self._waiting.mark()
        self._turnover_before = self._turnover.mark()

    def end(self) -> None:
        """End the operation; what it did is kept."""
        if self._saved:
            self._open.execute("RELEASE operation")
            self._saved = False

    def undo(self) -> None:
        """End the operation, of which nothing is kept."""
        self._revision, mark = self._before
        self._waiting.forget_since(mark)
        self._turnover.forget_since(self._turnover_before)
        if self._saved:
            self._open.execute("ROLLBACK TO operation")
            for each in (self._unknown, self._lists, self._list_keys):
                each.clear()
        self.end()

    def finish(self) -> None:
        """Insert what waits, after the last operation, and keep which rows there are. Raises DataDamaged."""
        self._waiting.insert(self._open)
        self._turnover.settle(self._open)

    # --- reading ----------------------------------------------------------------------------------------------------

    def look_for(self, subject_ids: Sequence[str]) -> None:
        """Find out at once which of these ids nobody has: it will be asked one by one."""
        if len(subject_ids) > 1:
            query = "SELECT subject_id FROM subjects WHERE subject_id IN (SELECT value FROM json_each(?))"
            found = self._open.execute(query, (json.dumps(list(subject_ids)),)).fetchall()
            self._unknown.update(set(subject_ids).difference(each for (each,) in found))

    def watchlist(self, watchlist_id: str) -> Watchlist | None:
        """Return one watchlist, or None."""
        found = self._lists.get(watchlist_id) or super().watchlist(watchlist_id)
        if found is not None:
            self._lists[watchlist_id] = found
        return found

    def _key(self, subject_id: str) -> int | None:
        if subject_id in self._unknown:
            return None
        waiting = self._waiting.get("subjects", subject_id)
        key = super()._key(subject_id) if waiting is None else int(waiting[0])
        if key is None:
            self._unknown.add(subject_id)
        return key

    def _list_key(self, watchlist_id: str) -> int:
        if watchlist_id not in self._list_keys:
            query = "SELECT list_key FROM watchlists WHERE watchlist_id = ?"
            row = self._open.execute(query, (watchlist_id,)).fetchone()
            if row is None:
                raise WatchlistNotFound(f"no watchlist {watchlist_id}", watchlist_id=watchlist_id)
            self._list_keys[watchlist_id] = int(row[0])
        return self._list_keys[watchlist_id]

    def _next(self, query: str) -> int:
        """Return one more than the number that `query` finds, or than was returned for it last."""
        if query not in self._last:
            row = self._open.execute(query).fetchone()
            self._last[query] = 0 if row is None or row[0] is None else int(row[0])
        self._last[query] += 1
        return self._last[query]

    # --- changing ---------------------------------------------------------------------------------------------------

    def revision(self) -> int:
        """Return the revision of the last change, of this transaction's too."""
        return self._revision

    def next_revision(self) -> int:
        """Count one change and return its revision."""
        self._revision += 1
        return self._revision

    def put_watchlist(self, watchlist: Watchlist) -> None:
        """Insert a watchlist, or overwrite the one of its id."""
        self._lists.clear()
        query = "SELECT list_key, labels FROM watchlists WHERE watchlist_id = ?"
        stored = self._connection.execute(query, (watchlist.watchlist_id,)).fetchone()
        # Known before the row is, so that it can be sealed for it. It is SQLite's own count, of deleted lists as well.
        key = self._next("SELECT seq FROM sqlite_sequence WHERE name = 'watchlists'") if stored is None else stored[0]
        values = watchlist_values(key, watchlist, self._cipher)
        columns = WATCHLIST_ROW.split(", ")
        marks, updates = ", ".join("?" * len(columns)), ", ".join(f"{name} = excluded.{name}" for name in columns)
        self._connection.execute(
            f"INSERT INTO watchlists ({WATCHLIST_ROW}) VALUES ({marks}) "  # noqa: S608
            f"ON CONFLICT (watchlist_id) DO UPDATE SET {updates}",
            values,
        )
        self._turnover.remove("watchlists", [] if stored is None else [stored[1]])
        self._turnover.add("watchlists", [values[columns.index("labels")]])

    def delete_watchlist(self, watchlist_id: str) -> None:
        """Delete a watchlist, and the proposals to change it; its subjects leave it."""
        self._drop_proposals("watchlist_id", watchlist_id)
        self._lists.clear()
        self._list_keys.clear()
        # The members of a long list leave it later, a few at a time: see `leave_gone_lists`.
        self._take_out("watchlists", "labels", "watchlist_id", watchlist_id)
        self._connection.execute("DELETE FROM watchlists WHERE watchlist_id = ?", (watchlist_id,))
        leave_gone_lists(self._connection)

    def put_subject(self, subject: Subject) -> None:
        """Insert a subject, or overwrite the one of its id; its templates are left as they are."""
        key = self._key(subject.subject_id)
        if key is None:
            self._add_subject(subject)
            return
        lists = set(map(self._list_key, subject.watchlists))
        self._take_out("subjects", "labels", "subject_key", key)
        values = subject_values(key, lists, subject, self._cipher)
        marks = ", ".join("?" * len(values))
        query = f"UPDATE subjects SET ({SUBJECT_ROW}) = ({marks}) WHERE subject_key = ?"  # noqa: S608
        self._connection.execute(query, (*values, key))
        self._turnover.add("subjects", [values[_LABELS]])
        self._put_on(subject)

    def _take_out(self, table: str, sealed: str, column: str, value: object) -> None:
        """Note that rows are changed or deleted that are stored."""
        query = f"SELECT {sealed} FROM {table} WHERE {column} = ?"  # noqa: S608 - constant names
        self._turnover.remove(table, [each for (each,) in self._connection.execute(query, (value,))])

    def _add_subject(self, subject: Subject) -> None:
        name, lists = subject.subject_id, list(map(self._list_key, subject.watchlists))
        key = self._next("SELECT max(subject_key) FROM subjects")
        values = subject_values(key, set(lists), subject, self._cipher)
        self._waiting.add("subjects", name, values)
        self._turnover.add("subjects", [values[_LABELS]])
        self._unknown.discard(name)
        for each in lists:
            self._waiting.add("memberships", (each, name), (each, name, key))

    def _put_on(self, subject: Subject) -> None:
        """Have a stored subject on its lists, and on no others."""
        key, name = self._key(subject.subject_id), subject.subject_id
        wanted = set(map(self._list_key, subject.watchlists))
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
        # Ids are known before the rows are, so that vectors can be sealed for them. It is SQLite's own count, of those
        # deleted since as well; there is no row before the first template.
        ids = [self._next("SELECT seq FROM sqlite_sequence WHERE name = 'templates'") for _ in templates]
        for template_id, template in zip(ids, templates, strict=True):
            quality = quality_text(template.quality)
            chain = None if template.chain is None else chain_text(template.chain)
            vector = self._cipher.seal(
                template.vector.astype("<f4", copy=False).tobytes(),
                vector_place(template_id, subject_id, model, quality, create_time_ns, chain),
            )
            row = (template_id, key, model, quality, create_time_ns, vector, chain)
            self._waiting.add("templates", template_id, row)
            self._turnover.add("templates", [vector[-_TAIL_BYTES:]])
        return ids

    def delete_template(self, template_id: int) -> None:
        """Delete one template."""
        self._take_out("templates", _TAIL, "template_id", template_id)
        self._connection.execute("DELETE FROM templates WHERE template_id = ?", (template_id,))

    def delete_templates(self, subject_id: str) -> None:
        """Delete all templates of a subject."""
        key = self._key(subject_id)
        self._take_out("templates", _TAIL, "subject_key", key)
        self._connection.execute("DELETE FROM templates WHERE subject_key = ?", (key,))

    def delete_subject(self, subject_id: str) -> None:
        """Delete a subject with all that is stored of it; answers about it become `erased`."""
        self.delete_templates(subject_id)
        self._drop_proposals("subject_id", subject_id)
        self._take_out("subjects", "labels", "subject_id", subject_id)
        self._connection.execute("DELETE FROM subjects WHERE subject_id = ?", (subject_id,))
        erase_answers(self._connection, subject_id)

    def keep_answer(self, answer: AnsweredRequest) -> None:
        """Remember the answer to a request, for its repeats."""
        self._waiting.add("requests", answer.request_id, answer_values(answer, self._cipher))

    def note_seen_time(self, now_ns: int) -> None:
        """Note a time, ns since 1970: see `seen_time`."""
        note_seen_time(self._connection, now_ns)

    def forget_answers(self, before_ns: int, most: int) -> int:
        """Forget up to `most` answers that are older, the oldest first, and return how many were forgotten."""
        return forget_answers(self._connection, before_ns, most)

    def record(self, change: Change) -> None:
        """Remember what a change was about, for processes that follow this one's."""
        self._waiting.add("changes", change.revision, (change.revision, *touched_by(change)))
        if change.revision % _FORGOTTEN_EVERY == 0:
            self._connection.execute("DELETE FROM changes WHERE revision <= ?", (change.revision - _RECORDED,))
