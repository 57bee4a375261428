"""Everything that a gallery loads at its start, read once from the first row to the last."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from gerbang_service.domain.subjects import StoredSubject
from gerbang_service.store.port import Contents
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.store.sqlite.reading import SqliteReader
from gerbang_service.store.sqlite.rows import SUBJECT_COLUMNS, subject_labels, vector_place

_BATCH = 8192


def contents(connection: Connection, model: str) -> Contents:
    """Return all that is stored, with a recogniser's templates. The connection must be in a transaction."""
    reader = SqliteReader(connection)
    return Contents(reader.revision(), reader.watchlists(), _subjects(connection, model), _templates(connection, model))


def template_count(connection: Connection, model: str) -> int:
    """Return how many templates of a recogniser are stored."""
    query = "SELECT count(*) FROM templates INDEXED BY templates_by_subject WHERE model = ?"
    return int(connection.execute(query, (model,)).fetchone()[0])


def other_models(connection: Connection, model: str) -> dict[str, int]:
    """Return the fingerprints of other recognisers that templates are stored of, with their counts."""
    query = "SELECT model, count(*) FROM templates INDEXED BY templates_by_subject WHERE model <> ? GROUP BY model"
    return dict(connection.execute(query, (model,)).fetchall())


def _subjects(connection: Connection, model: str) -> Iterator[StoredSubject]:
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


def _templates(connection: Connection, model: str) -> Iterator[list[tuple[int, int, bytes]]]:
    """Yield batches of (template_id, subject_key, vector bytes) of a recogniser's templates, by template_id.

    Raises DataDamaged, which names the first template that is.
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
