"""Everything that a gallery loads at its start, read once from the first row to the last."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from gerbang_service.domain.errors import DataDamaged
from gerbang_service.domain.faces import CaptureChain
from gerbang_service.domain.subjects import StoredSubject
from gerbang_service.store.port import Contents
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.store.sqlite.reading import SqliteReader
from gerbang_service.store.sqlite.rows import chain_from, check_lists, labels_of, row_of, subject_place, vector_place
from gerbang_service.store.sqlite.tally import Counting

# Rows read at once: few enough that they stay in a core's cache until they were taken in.
_BATCH = 1024


def contents(connection: Connection, model: str) -> Contents:
    """Return all that is stored, with a recogniser's templates. The connection must be in a transaction.

    Raises DataDamaged, as reading to the end of subjects and templates does, for what is not as it was sealed.
    """
    reader = SqliteReader(connection)
    watchlists = reader.watchlists()
    counting = Counting(connection, "watchlists")
    counting.add([labels for (labels,) in connection.execute("SELECT labels FROM watchlists")])
    counting.check()
    # Whose a template is: kept from the subjects for the templates, which a join would look up once more each.
    names: dict[int, str] = {}
    chains: set[CaptureChain] = set()
    return Contents(
        reader.revision(),
        watchlists,
        _subjects(connection, names),
        _templates(connection, model, names, chains),
        template_count(connection, model),
        chains,
    )


def template_count(connection: Connection, model: str) -> int:
    """Return how many templates of a recogniser are stored."""
    query = "SELECT count(*) FROM templates INDEXED BY templates_by_subject WHERE model = ?"
    return int(connection.execute(query, (model,)).fetchone()[0])


def other_models(connection: Connection, model: str) -> dict[str, int]:
    """Return the fingerprints of other recognisers that templates are stored of, with their counts."""
    query = "SELECT model, count(*) FROM templates INDEXED BY templates_by_subject WHERE model <> ? GROUP BY model"
    return dict(connection.execute(query, (model,)).fetchall())


def _subjects(connection: Connection, names: dict[int, str]) -> Iterator[StoredSubject]:
    """Yield every subject by key, with its lists, and note its name. Raises DataDamaged, naming the first that is."""
    memberships = "SELECT subject_key, list_key FROM memberships ORDER BY subject_key, list_key"
    lists = _InStep(ascending(connection.execute(memberships)))
    lists_by_key = dict(connection.execute("SELECT list_key, watchlist_id FROM watchlists").fetchall())
    # One tuple for all subjects of the same lists, by what both places have of them.
    named: dict[tuple[Any, tuple[int, ...]], tuple[str, ...]] = {}
    open_text, counting = connection.cipher.open_text, Counting(connection, "subjects")
    cursor = connection.execute(
        "SELECT subject_key, CAST(lists AS BLOB), CAST(subject_id AS BLOB), valid_from_ns, expire_time_ns, "
        "CAST(labels AS BLOB), create_time_ns, update_time_ns, revision FROM subjects ORDER BY subject_key"
    )
    while batch := cursor.fetchmany(_BATCH):
        sealed = []
        for key, its_lists, name, begin, end, labels, *rest in batch:
            names[key] = subject_id = _text(name)
            row = (key, _text(its_lists), subject_id, begin, end, _text(labels), *rest)
            text = open_text(row[5], subject_place(row))
            sealed.append(row[5])
            on = lists.of(key)
            if (its_lists, on) not in named:
                with row_of(f"subject {subject_id}"):
                    check_lists(subject_id, row[1], lists_by_key, on)
                # What is left of deleted lists has no name.
                named[its_lists, on] = tuple(sorted(lists_by_key[each] for each in on if each in lists_by_key))
            yield StoredSubject(key, subject_id, named[its_lists, on], begin, end, labels_of(text))
        counting.add(sealed)
    counting.check()


def _text(stored: bytes | None) -> Any:  # noqa: ANN401 - None where a flipped bit has made it of a text
    """Return a text that was read as bytes: SQLite would call a function for each that is not to be trusted."""
    return None if stored is None else stored.decode(errors="replace")


def ascending(rows: Iterator[tuple[Any, Any]]) -> Iterator[tuple[int, int]]:
    """Yield rows of two keys, each greater than the one before. Raises DataDamaged at one that is not.

    Read in step with others, one key that a flipped bit has made greater would hide all that come after it.
    """
    before = (-math.inf, -math.inf)
    for row in rows:
        if not (isinstance(row[0], int) and isinstance(row[1], int) and row > before):
            raise DataDamaged(f"who is on which list: the row of subject {row[0]!r} and list {row[1]!r} can't be one")
        before = row
        yield row


class _InStep:
    """Rows (key, value), ascending, read along with other rows that are ordered by key."""

    def __init__(self, rows: Iterator[tuple[int, int]]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, key: int) -> tuple[int, ...]:
        """Return the values of a key; keys are asked for in ascending order."""
        values: tuple[int, ...] = ()
        ahead, rows = self._next, self._rows
        while ahead is not None and ahead[0] <= key:
            if ahead[0] == key:
                values += (ahead[1],)
            ahead = next(rows, None)
        self._next = ahead
        return values


def _templates(
    connection: Connection, model: str, names: Mapping[int, str], chains: set[CaptureChain]
) -> Iterator[list[tuple[int, int, bytes]]]:
    """Yield batches of (template_id, subject_key, vector bytes) of a recogniser's templates, by template_id.

    `names`: of the subjects, by key; `chains`: is told which there are. Raises DataDamaged, which names the first
    template that is, or the table.
    """
    stored: set[bytes | None] = set()
    # What is small is decrypted as fast by one thread as by several, which would only take turns.
    opened, counting = connection.cipher.open, Counting(connection, "templates")
    # Those of other recognisers too: one that was made one of them would not be missed.
    cursor = connection.execute(
        "SELECT template_id, subject_key, model, CAST(quality AS BLOB), create_time_ns, CAST(chain AS BLOB), vector "
        "FROM templates ORDER BY template_id"
    )
    while batch := cursor.fetchmany(_BATCH):
        for template_id, key, *_ in batch:
            if key not in names:
                raise DataDamaged(f"template {template_id}: belongs to a subject that is not there")
        taken = [
            (
                template_id,
                key,
                opened(vector, vector_place(template_id, names[key], of, _text(quality), created, _text(chain))),
                of,
            )
            for template_id, key, of, quality, created, chain, vector in batch
        ]
        stored.update(chain for _, _, of, _, _, chain, _ in batch if of == model)
        # Once they are opened: whose it is that is damaged is said by that.
        counting.add([each[-1] for each in batch])
        if wanted := [each[:3] for each in taken if each[3] == model]:
            yield wanted
    counting.check()
    with row_of("table templates"):
        chains.update(chain_from(_text(each)) for each in stored if each is not None)
