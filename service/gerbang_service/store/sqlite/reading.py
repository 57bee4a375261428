"""Queries: what is stored of watchlists and subjects, and all templates at start-up."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

from gerbang_service.domain.subjects import StoredSubject, Subject
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.store.sealing.cipher import Damaged, place
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.store.sqlite.rows import (
    SUBJECT_COLUMNS,
    TEMPLATE_COLUMNS,
    WATCHLIST_COLUMNS,
    subject_from,
    subject_labels,
    template_from,
    vector_place,
    watchlist_from,
)

_BATCH = 8192
NOT_OURS: Final = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""What making something of a row raises when a flipped bit has made another type, or another word, of a value."""


@contextmanager
def _row_of(what: str) -> Iterator[None]:
    """Make the database error of it that it is, not with its own text, which may hold what was read."""
    try:
        yield
    except NOT_OURS:
        raise Damaged(f"{what}: is not what Gerbang writes") from None


def revision(connection: Connection) -> int:
    """Return the revision of the last committed change. Raises Damaged."""
    with _row_of("table meta: its revision"):
        return int(connection.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()[0])


def check_settings(connection: Connection) -> None:
    """Raise Damaged when table meta holds what can't be: that which no seal says in a folder in the clear."""
    rows = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    revision, model, dimension = (rows.get(name) for name in ("revision", "model", "dimension"))
    if not isinstance(revision, int) or revision < 0:
        raise Damaged("table meta: there is no sane revision")
    bound = isinstance(model, str) and isinstance(dimension, int) and dimension > 0
    if not bound and (model is not None or dimension is not None):
        raise Damaged("table meta: there is no sane recogniser and dimension")


def watchlist(connection: Connection, watchlist_id: str) -> Watchlist | None:
    """Return one watchlist, or None. Raises Damaged."""
    row = connection.execute(
        f"SELECT {WATCHLIST_COLUMNS} FROM watchlists WHERE watchlist_id = ?",  # noqa: S608 - constant columns
        (watchlist_id,),
    ).fetchone()
    return None if row is None else _watchlist(row, connection)


def _watchlist(row: tuple[Any, ...], connection: Connection) -> Watchlist:
    with _row_of(f"watchlist {row[0]}"):
        return watchlist_from(row, connection.cipher)


def watchlists(connection: Connection) -> list[Watchlist]:
    """Return all watchlists, by id. Raises Damaged."""
    rows = connection.execute(f"SELECT {WATCHLIST_COLUMNS} FROM watchlists ORDER BY watchlist_id")  # noqa: S608
    return [_watchlist(row, connection) for row in rows]


def subject_count(connection: Connection, watchlist_id: str) -> int:
    """Return how many subjects are on a watchlist."""
    query = "SELECT count(*) FROM memberships WHERE watchlist_id = ?"
    return int(connection.execute(query, (watchlist_id,)).fetchone()[0])


def subjects_by_watchlist(connection: Connection) -> dict[str, int]:
    """Return how many subjects are on each watchlist, by id; empty ones too."""
    query = (
        "SELECT watchlist_id, "
        "(SELECT count(*) FROM memberships WHERE memberships.watchlist_id = watchlists.watchlist_id) "
        "FROM watchlists ORDER BY watchlist_id"
    )
    return dict(connection.execute(query).fetchall())


def subject_key(connection: Connection, subject_id: str) -> int | None:
    """Return the database's key of a subject, or None."""
    row = connection.execute("SELECT subject_key FROM subjects WHERE subject_id = ?", (subject_id,)).fetchone()
    return None if row is None else int(row[0])


def subject(connection: Connection, subject_id: str) -> Subject | None:
    """Return one subject with its lists and templates, or None. Raises Damaged."""
    key = subject_key(connection, subject_id)
    return None if key is None else _subject_by_key(connection, key)


def _subject_by_key(connection: Connection, key: int) -> Subject:
    row = connection.execute(
        f"SELECT {SUBJECT_COLUMNS} FROM subjects WHERE subject_key = ?",  # noqa: S608
        (key,),
    ).fetchone()
    if row is None:
        raise Damaged("table subjects: its index names a row that is not there")
    lists = connection.execute(
        "SELECT watchlist_id FROM memberships WHERE subject_key = ? ORDER BY watchlist_id", (key,)
    )
    templates = connection.execute(
        f"SELECT {TEMPLATE_COLUMNS} FROM templates WHERE subject_key = ? ORDER BY template_id",  # noqa: S608
        (key,),
    )
    with _row_of(f"subject {row[0]}"):
        return subject_from(row, (name for (name,) in lists), map(template_from, templates), connection.cipher)


def subjects_page(
    connection: Connection, *, after: str, limit: int, watchlist_id: str = "", seen: Collection[str] | None = None
) -> list[Subject]:
    """Return up to `limit` subjects with an id greater than `after`, by id; only those of a list if one is named.

    `seen`: only subjects that are on one of these lists, or on none; None: all.
    """
    if watchlist_id:
        query = (
            "SELECT subject_key FROM subjects JOIN memberships USING (subject_key) "
            "WHERE watchlist_id = ? AND subject_id > ? ORDER BY subject_id LIMIT ?"
        )
        keys = connection.execute(query, (watchlist_id, after, limit))
    elif seen is not None:
        marks = ", ".join("?" * len(seen))
        query = (
            "SELECT subject_key FROM subjects s WHERE subject_id > ? AND ("  # noqa: S608 - marks only
            f"EXISTS (SELECT 1 FROM memberships m WHERE m.subject_key = s.subject_key AND watchlist_id IN ({marks})) "
            "OR NOT EXISTS (SELECT 1 FROM memberships m WHERE m.subject_key = s.subject_key)) "
            "ORDER BY subject_id LIMIT ?"
        )
        keys = connection.execute(query, (after, *seen, limit))
    else:
        query = "SELECT subject_key FROM subjects WHERE subject_id > ? ORDER BY subject_id LIMIT ?"
        keys = connection.execute(query, (after, limit))
    return [_subject_by_key(connection, key) for (key,) in keys.fetchall()]


def all_subjects(connection: Connection, model: str) -> Iterator[StoredSubject]:
    """Yield every subject by key, with the ids of its templates of a recogniser."""
    templates = _template_ids_by_subject(connection, model)
    lists = _watchlists_by_subject(connection)
    query = f"SELECT subject_key, {SUBJECT_COLUMNS} FROM subjects ORDER BY subject_key"  # noqa: S608
    for key, *row in connection.execute(query):
        yield StoredSubject(
            key,
            row[0],
            lists.get(key, ()),
            row[1],
            row[2],
            subject_labels(tuple(row), connection.cipher),
            tuple(templates.get(key, ())),
        )


def _watchlists_by_subject(connection: Connection) -> dict[int, tuple[str, ...]]:
    lists: dict[int, tuple[str, ...]] = {}
    # One tuple for all subjects of the same lists.
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    query = "SELECT subject_key, watchlist_id FROM memberships ORDER BY subject_key, watchlist_id"
    for key, name in connection.execute(query):
        names = (*lists.get(key, ()), name)
        lists[key] = known.setdefault(names, names)
    return lists


def _template_ids_by_subject(connection: Connection, model: str) -> dict[int, list[int]]:
    ids: dict[int, list[int]] = {}
    query = "SELECT subject_key, template_id FROM templates INDEXED BY templates_by_subject WHERE model = ?"
    for key, template_id in connection.execute(query, (model,)):
        ids.setdefault(key, []).append(template_id)
    return ids


def template_count(connection: Connection, model: str) -> int:
    """Return how many templates of a recogniser are stored."""
    query = "SELECT count(*) FROM templates INDEXED BY templates_by_subject WHERE model = ?"
    return int(connection.execute(query, (model,)).fetchone()[0])


def request(connection: Connection, request_id: str) -> tuple[bytes, str, bytes | None] | None:
    """Return (digest, subject_id, answer) of an earlier request, or None."""
    query = "SELECT digest, subject_id, answer FROM requests WHERE request_id = ?"
    row = connection.execute(query, (request_id,)).fetchone()
    return None if row is None else opened_request(connection, request_id, *row)


def opened_request(
    connection: Connection, request_id: str, digest: bytes, subject_id: str, answer: bytes | None
) -> tuple[bytes, str, bytes | None]:
    """Return (digest, subject_id, answer) of a row of requests. Raises Damaged."""
    if answer is None:
        return b"", subject_id, None
    opened = connection.cipher.open
    return (
        opened(digest, place("requests.digest", request_id, subject_id)),
        subject_id,
        opened(answer, place("requests.answer", request_id, subject_id)),
    )


def other_models(connection: Connection, model: str) -> dict[str, int]:
    """Return the fingerprints of other recognisers that templates are stored of, with their counts."""
    query = "SELECT model, count(*) FROM templates INDEXED BY templates_by_subject WHERE model <> ? GROUP BY model"
    return dict(connection.execute(query, (model,)).fetchall())


def all_templates(connection: Connection, model: str) -> Iterator[list[tuple[int, int, bytes]]]:
    """Yield batches of (template_id, subject_key, vector bytes) of a recogniser's templates, by template_id.

    Raises Damaged, which names the first template that is.
    """
    # What is small is decrypted as fast by one thread as by several, which would only take turns.
    opened = connection.cipher.open
    query = (
        "SELECT template_id, subject_key, subject_id, quality, templates.create_time_ns, vector "
        "FROM templates CROSS JOIN subjects USING (subject_key) WHERE model = ? ORDER BY template_id"
    )
    cursor = connection.execute(query, (model,))
    while batch := list(islice(cursor, _BATCH)):
        yield [
            (template_id, key, opened(vector, vector_place(template_id, subject_id, model, quality, created)))
            for template_id, key, subject_id, quality, created, vector in batch
        ]


def vector(connection: Connection, template_id: int) -> bytes:
    """Return the vector of a stored template, little-endian float32. Raises Damaged."""
    query = (
        "SELECT subject_id, model, quality, templates.create_time_ns, vector "
        "FROM templates JOIN subjects USING (subject_key) WHERE template_id = ?"
    )
    with _row_of(f"template {template_id}"):
        *row, sealed = connection.execute(query, (template_id,)).fetchone()
    return connection.cipher.open(sealed, vector_place(template_id, *row))
