"""Queries: what is stored of watchlists and subjects, and all templates at start-up."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from itertools import islice

from gerbang_service.domain.subjects import StoredSubject, Subject
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.store.rows import (
    SUBJECT_COLUMNS,
    TEMPLATE_COLUMNS,
    WATCHLIST_COLUMNS,
    subject_from,
    template_from,
    watchlist_from,
)

_BATCH = 8192


def revision(connection: sqlite3.Connection) -> int:
    """Return the revision of the last committed change."""
    return int(connection.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()[0])


def watchlist(connection: sqlite3.Connection, watchlist_id: str) -> Watchlist | None:
    """Return one watchlist, or None."""
    row = connection.execute(
        f"SELECT {WATCHLIST_COLUMNS} FROM watchlists WHERE watchlist_id = ?",  # noqa: S608 - constant columns
        (watchlist_id,),
    ).fetchone()
    return None if row is None else watchlist_from(row)


def watchlists(connection: sqlite3.Connection) -> list[Watchlist]:
    """Return all watchlists, by id."""
    rows = connection.execute(f"SELECT {WATCHLIST_COLUMNS} FROM watchlists ORDER BY watchlist_id")  # noqa: S608
    return [watchlist_from(row) for row in rows]


def subject_count(connection: sqlite3.Connection, watchlist_id: str) -> int:
    """Return how many subjects are on a watchlist."""
    query = "SELECT count(*) FROM memberships WHERE watchlist_id = ?"
    return int(connection.execute(query, (watchlist_id,)).fetchone()[0])


def subject_key(connection: sqlite3.Connection, subject_id: str) -> int | None:
    """Return the database's key of a subject, or None."""
    row = connection.execute("SELECT subject_key FROM subjects WHERE subject_id = ?", (subject_id,)).fetchone()
    return None if row is None else int(row[0])


def subject(connection: sqlite3.Connection, subject_id: str) -> Subject | None:
    """Return one subject with its lists and templates, or None."""
    key = subject_key(connection, subject_id)
    return None if key is None else _subject_by_key(connection, key)


def _subject_by_key(connection: sqlite3.Connection, key: int) -> Subject:
    row = connection.execute(
        f"SELECT {SUBJECT_COLUMNS} FROM subjects WHERE subject_key = ?",  # noqa: S608
        (key,),
    ).fetchone()
    lists = connection.execute(
        "SELECT watchlist_id FROM memberships WHERE subject_key = ? ORDER BY watchlist_id", (key,)
    )
    templates = connection.execute(
        f"SELECT {TEMPLATE_COLUMNS} FROM templates WHERE subject_key = ? ORDER BY template_id",  # noqa: S608
        (key,),
    )
    return subject_from(row, (name for (name,) in lists), map(template_from, templates))


def subjects_page(connection: sqlite3.Connection, *, after: str, limit: int, watchlist_id: str = "") -> list[Subject]:
    """Return up to `limit` subjects with an id greater than `after`, by id; only those of a list if one is named."""
    if watchlist_id:
        query = (
            "SELECT subject_key FROM subjects JOIN memberships USING (subject_key) "
            "WHERE watchlist_id = ? AND subject_id > ? ORDER BY subject_id LIMIT ?"
        )
        keys = connection.execute(query, (watchlist_id, after, limit))
    else:
        query = "SELECT subject_key FROM subjects WHERE subject_id > ? ORDER BY subject_id LIMIT ?"
        keys = connection.execute(query, (after, limit))
    return [_subject_by_key(connection, key) for (key,) in keys.fetchall()]


def all_subjects(connection: sqlite3.Connection, model: str) -> Iterator[StoredSubject]:
    """Yield every subject by key, with the ids of its templates of a recogniser."""
    templates = _template_ids_by_subject(connection, model)
    lists = _watchlists_by_subject(connection)
    query = "SELECT subject_key, subject_id, valid_from_ns, expire_time_ns, labels FROM subjects ORDER BY subject_key"
    for key, name, valid_from, expire_time, labels in connection.execute(query):
        yield StoredSubject(
            key,
            name,
            lists.get(key, ()),
            valid_from,
            expire_time,
            {} if labels == "{}" else json.loads(labels),
            tuple(templates.get(key, ())),
        )


def _watchlists_by_subject(connection: sqlite3.Connection) -> dict[int, tuple[str, ...]]:
    lists: dict[int, tuple[str, ...]] = {}
    # One tuple for all subjects of the same lists.
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    query = "SELECT subject_key, watchlist_id FROM memberships ORDER BY subject_key, watchlist_id"
    for key, name in connection.execute(query):
        names = (*lists.get(key, ()), name)
        lists[key] = known.setdefault(names, names)
    return lists


def _template_ids_by_subject(connection: sqlite3.Connection, model: str) -> dict[int, list[int]]:
    ids: dict[int, list[int]] = {}
    query = "SELECT subject_key, template_id FROM templates INDEXED BY templates_by_subject WHERE model = ?"
    for key, template_id in connection.execute(query, (model,)):
        ids.setdefault(key, []).append(template_id)
    return ids


def template_count(connection: sqlite3.Connection, model: str) -> int:
    """Return how many templates of a recogniser are stored."""
    query = "SELECT count(*) FROM templates INDEXED BY templates_by_subject WHERE model = ?"
    return int(connection.execute(query, (model,)).fetchone()[0])


def request(connection: sqlite3.Connection, request_id: str) -> tuple[bytes, str, bytes | None] | None:
    """Return (digest, subject_id, answer) of an earlier request, or None."""
    query = "SELECT digest, subject_id, answer FROM requests WHERE request_id = ?"
    row: tuple[bytes, str, bytes | None] | None = connection.execute(query, (request_id,)).fetchone()
    return row


def other_models(connection: sqlite3.Connection, model: str) -> dict[str, int]:
    """Return the fingerprints of other recognisers that templates are stored of, with their counts."""
    query = "SELECT model, count(*) FROM templates INDEXED BY templates_by_subject WHERE model <> ? GROUP BY model"
    return dict(connection.execute(query, (model,)).fetchall())


def all_templates(connection: sqlite3.Connection, model: str) -> Iterator[list[tuple[int, int, bytes]]]:
    """Yield batches of (template_id, subject_key, vector bytes) of a recogniser's templates, by template_id."""
    query = "SELECT template_id, subject_key, vector FROM templates WHERE model = ? ORDER BY template_id"
    cursor = connection.execute(query, (model,))
    while batch := list(islice(cursor, _BATCH)):
        yield batch
