"""Queries on one connection: what is stored of watchlists, subjects, answers and tokens."""

from __future__ import annotations

import heapq
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from gerbang_service.domain.errors import DataDamaged
from gerbang_service.domain.subjects import Subject, TemplateInfo
from gerbang_service.domain.watchlists import CountedWatchlist, Watchlist
from gerbang_service.store.following import Touched
from gerbang_service.store.port import AnsweredRequest, StoredToken
from gerbang_service.store.sqlite import tokens
from gerbang_service.store.sqlite.answers import ANSWER_COLUMNS, answer_from
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.store.sqlite.meta import revision_of, seen_time_of
from gerbang_service.store.sqlite.proposals import ProposalRows
from gerbang_service.store.sqlite.rows import (
    SUBJECT_ROW,
    TEMPLATE_COLUMNS,
    WATCHLIST_ROW,
    check_lists,
    list_keys,
    row_of,
    subject_from,
    template_from,
    vector_place,
    watchlist_from,
)


class SqliteReader(ProposalRows):
    """A port.Reader and a port.TokenReader on a connection, which the caller keeps in a transaction.

    sqlite3.Error passes through: who lends a reader turns it into StoreUnavailable.
    """

    def __init__(self, connection: Connection) -> None:
        self._open = connection

    def _connection_of(self, table: str, key: str) -> Connection:  # noqa: ARG002 - see SqliteTransaction
        """Return the connection for queries of what is stored under one row of a table."""
        return self._open

    def revision(self) -> int:
        """Return the revision of the last change."""
        return revision_of(self._connection)

    def watchlist(self, watchlist_id: str) -> Watchlist | None:
        """Return one watchlist, or None."""
        row = self._open.execute(
            f"SELECT {WATCHLIST_ROW} FROM watchlists WHERE watchlist_id = ?",  # noqa: S608 - constant columns
            (watchlist_id,),
        ).fetchone()
        return None if row is None else self._watchlist(row)

    def watchlists(self) -> list[Watchlist]:
        """Return the watchlists, by id."""
        query = f"SELECT {WATCHLIST_ROW} FROM watchlists ORDER BY watchlist_id"  # noqa: S608
        return [self._watchlist(row) for row in self._connection.execute(query)]

    def counted_watchlists(
        self, *, after: str = "", limit: int | None = None, within: Collection[str] | None = None
    ) -> list[CountedWatchlist]:
        """Return watchlists by id, and how many are on each: see Reader."""
        query = (
            f"SELECT subjects, {WATCHLIST_ROW} FROM watchlists JOIN list_sizes USING (list_key) "  # noqa: S608
            "WHERE watchlist_id > ?1 AND (?2 IS NULL OR watchlist_id IN (SELECT value FROM json_each(?2))) "
            "ORDER BY watchlist_id LIMIT ?3"
        )
        named = None if within is None else json.dumps(list(within))
        rows = self._connection.execute(query, (after, named, -1 if limit is None else limit))
        return [CountedWatchlist(self._watchlist(tuple(row)), count) for count, *row in rows]

    def _watchlist(self, row: tuple[Any, ...]) -> Watchlist:
        with row_of(f"watchlist {row[1]}"):
            return watchlist_from(row, self._open.cipher)

    def subject_count(self, watchlist_id: str) -> int:
        """Return how many subjects are on a watchlist."""
        query = "SELECT subjects FROM watchlists JOIN list_sizes USING (list_key) WHERE watchlist_id = ?"
        row = self._connection.execute(query, (watchlist_id,)).fetchone()
        return 0 if row is None else int(row[0])

    def subject_counts(self) -> dict[str, int]:
        """Return how many subjects are on each watchlist, by id; empty ones too."""
        query = "SELECT watchlist_id, subjects FROM watchlists JOIN list_sizes USING (list_key) ORDER BY watchlist_id"
        return dict(self._connection.execute(query).fetchall())

    def subject(self, subject_id: str) -> Subject | None:
        """Return one subject with its lists and templates, or None."""
        key = self._key(subject_id)
        return None if key is None else self._subjects_of([key])[0]

    def _key(self, subject_id: str) -> int | None:
        query = "SELECT subject_key FROM subjects WHERE subject_id = ?"
        row = self._open.execute(query, (subject_id,)).fetchone()
        return None if row is None else int(row[0])

    def lists_of(self, subject_id: str) -> tuple[str, ...] | None:
        """Return the lists that a subject is on, or None when nobody has this id."""
        # One query for whoever it is: how long it takes must not tell a caller that there is somebody. Joined with the
        # lists, as what is left of deleted ones has none.
        query = (
            "SELECT watchlist_id FROM subjects LEFT JOIN memberships USING (subject_key) "
            "LEFT JOIN watchlists USING (list_key) WHERE subjects.subject_id = ? ORDER BY watchlist_id"
        )
        rows = self._connection_of("subjects", subject_id).execute(query, (subject_id,)).fetchall()
        return tuple(name for (name,) in rows if name is not None) if rows else None

    def subjects(
        self, *, after: str, limit: int, watchlists: Collection[str] | None = None, ended_by_ns: int | None = None
    ) -> list[Subject]:
        """Return up to `limit` subjects with an id greater than `after`, by id: see Reader."""
        if watchlists is None:
            ended = "" if ended_by_ns is None else "AND expire_time_ns <= :ended"
            query = (
                f"SELECT subject_key FROM subjects WHERE subject_id > :after {ended} "  # noqa: S608 - constant texts
                "ORDER BY subject_id LIMIT :limit"
            )
            values = {"after": after, "ended": ended_by_ns, "limit": limit}
            return self._subjects_of([key for (key,) in self._connection.execute(query, values)])
        members = (self._members(each, after, limit, ended_by_ns) for each in watchlists)
        # Who is on several of the lists comes once for each, one after the other.
        merged = dict.fromkeys(key for _, key in islice(heapq.merge(*members), limit * max(1, len(watchlists))))
        return self._subjects_of(list(islice(merged, limit)))

    def _members(self, watchlist_id: str, after: str, limit: int, ended_by_ns: int | None) -> Iterable[tuple[str, int]]:
        ended = "" if ended_by_ns is None else "AND expire_time_ns <= :ended"
        joined = "" if ended_by_ns is None else "CROSS JOIN subjects USING (subject_key)"
        query = (
            f"SELECT memberships.subject_id, subject_key FROM memberships {joined} "  # noqa: S608 - constant texts
            "WHERE list_key = (SELECT list_key FROM watchlists WHERE watchlist_id = :list) "
            f"AND memberships.subject_id > :after {ended} ORDER BY memberships.subject_id LIMIT :limit"
        )
        values = {"list": watchlist_id, "after": after, "ended": ended_by_ns, "limit": limit}
        return self._connection.execute(query, values)

    def _subjects_of(self, keys: Sequence[int]) -> list[Subject]:
        """Return the subjects of these keys, in their order: in four queries, however many they are."""
        among, named = "IN (SELECT value FROM json_each(?))", (json.dumps(list(keys)),)
        lists: dict[int, list[int]] = {}
        query = f"SELECT subject_key, list_key FROM memberships WHERE subject_key {among}"  # noqa: S608
        for key, on in self._connection.execute(query, named):
            lists.setdefault(key, []).append(on)
        templates: dict[int, list[tuple[Any, ...]]] = {}
        query = f"SELECT subject_key, {TEMPLATE_COLUMNS} FROM templates WHERE subject_key {among} ORDER BY template_id"  # noqa: S608
        for key, *row in self._connection.execute(query, named):
            templates.setdefault(key, []).append(tuple(row))
        query = f"SELECT {SUBJECT_ROW} FROM subjects WHERE subject_key {among}"  # noqa: S608
        rows = {row[0]: row for row in self._connection.execute(query, named)}
        if len(rows) < len(keys):
            raise DataDamaged("table subjects: its index names a row that is not there")
        named_lists = {each for on in lists.values() for each in on}
        for _, text, name, *_ in rows.values():
            with row_of(f"subject {name}"):
                named_lists |= list_keys(text)
        query = "SELECT list_key, watchlist_id FROM watchlists WHERE list_key IN (SELECT value FROM json_each(?))"
        known = dict(self._connection.execute(query, (json.dumps(list(named_lists)),)).fetchall())
        return [self._subject(rows[key], known, lists.get(key, ()), templates.get(key, ())) for key in keys]

    def _subject(
        self, row: tuple[Any, ...], known: Mapping[int, str], on: Sequence[int], templates: Iterable[tuple[Any, ...]]
    ) -> Subject:
        _, lists, name, *_ = row
        with row_of(f"subject {name}"):
            infos: list[TemplateInfo] = [template_from(each) for each in templates]
            subject = subject_from(row, sorted(known[each] for each in on if each in known), infos, self._open.cipher)
            check_lists(name, lists, known, on)
            return subject

    def vector(self, template_id: int) -> bytes:
        """Return the vector of a stored template, little-endian float32."""
        query = (
            "SELECT subject_id, model, quality, templates.create_time_ns, chain, vector "
            "FROM templates JOIN subjects USING (subject_key) WHERE template_id = ?"
        )
        with row_of(f"template {template_id}"):
            *row, sealed = self._connection.execute(query, (template_id,)).fetchone()
        return self._open.cipher.open(sealed, vector_place(template_id, *row))

    def expired(self, before_ns: int, limit: int) -> list[str]:
        """Return the ids of up to `limit` subjects whose expire time is then, ns since 1970, or earlier."""
        query = "SELECT subject_id FROM subjects WHERE expire_time_ns <= ? LIMIT ?"
        return [name for (name,) in self._connection.execute(query, (before_ns, limit))]

    def seen_time(self) -> int | None:
        """Return the time that was noted last, ns since 1970; before any was, that of a subject's latest change.

        None where there is neither.
        """
        return seen_time_of(self._connection)

    def answered(self, request_id: str) -> AnsweredRequest | None:
        """Return the answer to an earlier request, or None."""
        query = f"SELECT {ANSWER_COLUMNS} FROM requests WHERE request_id = ?"  # noqa: S608
        row = self._connection_of("requests", request_id).execute(query, (request_id,)).fetchone()
        return None if row is None else answer_from(row, self._open.cipher)

    def changed_since(self, revision: int) -> list[Touched]:
        """Return what the changes after a revision were about, in order; those that are known."""
        query = "SELECT subject_id, watchlist_id, gone FROM changes WHERE revision > ? ORDER BY revision"
        return self._connection.execute(query, (revision,)).fetchall()

    def token_version(self) -> int:
        """Return a number that changes when anybody else commits anything: cheap to ask for."""
        return tokens.data_version(self._connection)

    def tokens(self) -> list[StoredToken]:
        """Return all tokens, revoked and expired ones too, in the order of their creation."""
        return tokens.all_tokens(self._connection)
