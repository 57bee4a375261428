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
    """Yield every subject by key, with its lists and the ids of its templates of a recogniser."""
    lists = _InStep(connection.execute("SELECT subject_key, list_key FROM memberships ORDER BY subject_key, list_key"))
    templates = _InStep(
        connection.execute(
            "SELECT subject_key, template_id FROM templates INDEXED BY templates_by_subject WHERE model = ? "
            "ORDER BY subject_key, template_id",
            (model,),
        )
    )
    names = dict(connection.execute("SELECT list_key, watchlist_id FROM watchlists").fetchall())
    # One tuple for all subjects of the same lists.
    named: dict[tuple[int, ...], tuple[str, ...]] = {}
    query = f"SELECT subject_key, {SUBJECT_COLUMNS} FROM subjects ORDER BY subject_key"  # noqa: S608
    for key, *row in connection.execute(query):
        on = lists.of(key)
        if on not in named:
            # What is left of deleted lists has no name.
            named[on] = tuple(sorted(names[each] for each in on if each in names))
        labels = subject_labels(tuple(row), connection.cipher)
        yield StoredSubject(key, row[0], named[on], row[1], row[2], labels, templates.of(key))


class _InStep:
    """Rows (key, value), ordered by key, read along with other rows that are ordered so."""

    def __init__(self, rows: Iterator[tuple[int, int]]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, key: int) -> tuple[int, ...]:
        """Return the values of a key; keys are asked for in ascending order."""
        values: list[int] = []
        while self._next is not None and self._next[0] <= key:
            if self._next[0] == key:
                values.append(self._next[1])
            self._next = next(self._rows, None)
        return tuple(values)


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
