"""Is every row of a database what Gerbang writes. Each check yields a sentence a fault, of rows of one table.

Without the key that a database needs, what is sealed in it is passed over. Raises sqlite3.Error, DataDamaged, NOT_OURS.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from gerbang_service.domain.errors import DataDamaged
from gerbang_service.store.sealing.cipher import AnyCipher
from gerbang_service.store.sqlite import tokens
from gerbang_service.store.sqlite.answers import ANSWER_COLUMNS, answer_from, older_answer
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.store.sqlite.earlier_rows import (
    EARLIER_SUBJECT,
    EARLIER_WATCHLIST,
    earlier_subject_place,
    earlier_watchlist_place,
)
from gerbang_service.store.sqlite.meta import check_settings, revision_of
from gerbang_service.store.sqlite.proposals import PROPOSAL_ROW, check_proposals, proposal_from
from gerbang_service.store.sqlite.rows import (
    NOT_OURS,
    SUBJECT_ROW,
    WATCHLIST_ROW,
    chain_column,
    check_lists,
    labels_from,
    subject_labels,
    template_from,
    vector_place,
    watchlist_from,
)
from gerbang_service.store.sqlite.tally import Counting
from gerbang_service.store.sqlite.vault import check_meta, wrapped_by

_BATCH = 8192
# Of unit vectors as float32: the rounding of 4096 coordinates stays far below.
_NORM_TOLERANCE = 1e-4


def _unreadable(connection: Connection) -> bool:
    return not connection.cipher.encrypts and wrapped_by(connection) is not None


def meta(connection: Connection) -> Iterator[str]:
    """Yield what is wrong with the single values, and whether their seal is broken."""
    check_settings(connection)
    revision = revision_of(connection)
    if _has(connection, "changes"):
        (latest,) = connection.execute("SELECT max(revision) FROM changes").fetchone()
        if latest is not None and latest > revision:
            yield f"table changes: knows revision {latest}, but the last one is {revision}"
    yield from _ids(connection, "templates", "template_id")
    if not _unreadable(connection):
        check_meta(connection)


def _ids(connection: Connection, table: str, column: str) -> Iterator[str]:
    query = f"SELECT max({column}), (SELECT seq FROM sqlite_sequence WHERE name = '{table}') FROM {table}"  # noqa: S608
    last, given = connection.execute(query).fetchone()
    if last is not None and not (isinstance(given, int) and given >= last):
        yield f"ids of {table}: {given} is said to be the last, but there is {last}"


def subjects(connection: Connection) -> Iterator[str]:
    """Yield what is wrong with subjects."""
    query = f"SELECT {SUBJECT_ROW} FROM subjects ORDER BY subject_key"  # noqa: S608 - constant columns
    unreadable = _unreadable(connection)
    counting = None if unreadable else Counting(connection, "subjects")
    known = dict(connection.execute("SELECT list_key, watchlist_id FROM watchlists").fetchall())
    member_of = "SELECT list_key FROM memberships WHERE subject_key = ?"
    for row in connection.execute(query):
        key, lists, name, *validity = row[:5]
        on = [each for (each,) in connection.execute(member_of, (key,))]
        yield from _problem(lambda of=(name, lists, known, on): check_lists(*of), f"subject {name}")
        times = [each for each in validity if each is not None]
        if not all(isinstance(each, int) for each in times):
            yield f"subject {name}: is valid from or until what is no time"
        elif len(times) > 1 and times[0] >= times[1]:
            yield f"subject {name}: is valid until before it is valid"
        if not unreadable:
            yield from _problem(lambda row=row: subject_labels(row, connection.cipher), f"subject {name}")
        if counting is not None:
            yield from _problem(lambda row=row: counting.add([row[5]]), f"subject {name}")
    if counting is not None:
        counting.check()


def watchlists(connection: Connection, columns: str = WATCHLIST_ROW) -> Iterator[str]:
    """Yield what is wrong with watchlists. `columns`: of their rows, those of an older database for one."""
    if not _unreadable(connection):
        counting = Counting(connection, "watchlists")
        for row in connection.execute(f"SELECT {columns} FROM watchlists"):  # noqa: S608
            yield from _problem(lambda row=row: watchlist_from(row, connection.cipher), f"watchlist {row[1]}")
            yield from _problem(lambda row=row: counting.add([row[6]]), f"watchlist {row[1]}")
        counting.check()


def earlier_subjects(connection: Connection) -> Iterator[str]:
    """Yield what is wrong with the subjects of an older database."""
    if not _unreadable(connection):
        for row in connection.execute(f"SELECT {EARLIER_SUBJECT} FROM subjects"):  # noqa: S608
            of = (row[3], earlier_subject_place(row), connection.cipher)
            yield from _problem(lambda of=of: labels_from(*of), f"subject {row[0]}")


def earlier_watchlists(connection: Connection) -> Iterator[str]:
    """Yield what is wrong with the watchlists of an older database."""
    if not _unreadable(connection):
        for row in connection.execute(f"SELECT {EARLIER_WATCHLIST} FROM watchlists"):  # noqa: S608
            of = (row[5], earlier_watchlist_place(row), connection.cipher)
            yield from _problem(lambda of=of: labels_from(*of), f"watchlist {row[0]}")


def requests(connection: Connection) -> Iterator[str]:
    """Yield what is wrong with answers to requests."""
    if not _unreadable(connection):
        for row in connection.execute(f"SELECT {ANSWER_COLUMNS} FROM requests"):  # noqa: S608
            yield from _problem(lambda row=row: answer_from(row, connection.cipher), f"request {row[0]}")


def older_requests(connection: Connection) -> Iterator[str]:
    """Yield what is wrong with the answers of an older database."""
    if not _unreadable(connection):
        for row in connection.execute("SELECT request_id, digest, subject_id, answer FROM requests"):
            yield from _problem(lambda row=row: older_answer(row, connection.cipher), f"request {row[0]}")


def memberships(connection: Connection) -> Iterator[str]:
    """Yield what is wrong with who is on which list."""
    yield from _ids(connection, "watchlists", "list_key")
    query = (
        "SELECT list_key, m.subject_id FROM memberships m LEFT JOIN subjects s USING (subject_key) "
        "WHERE s.subject_id IS NOT m.subject_id"
    )
    for key, name in connection.execute(query):
        yield f"table memberships: {name} on list {key} is another subject"
    query = (
        "SELECT DISTINCT list_key FROM memberships WHERE list_key NOT IN (SELECT list_key FROM watchlists) "
        "AND list_key NOT IN (SELECT list_key FROM gone_lists)"
    )
    for (key,) in connection.execute(query):
        yield f"table memberships: names list {key}, which is not there"
    for (key,) in connection.execute("SELECT list_key FROM gone_lists JOIN watchlists USING (list_key)"):
        yield f"table gone_lists: list {key} is there"
    query = (
        "SELECT watchlist_id, subjects, (SELECT count(*) FROM memberships m WHERE m.list_key = w.list_key) AS counted "
        "FROM watchlists w LEFT JOIN list_sizes USING (list_key) WHERE subjects IS NOT counted"
    )
    for name, said, counted in connection.execute(query):
        yield f"table list_sizes: watchlist {name} is said to have {said} subjects, and has {counted}"


def proposals(connection: Connection) -> Iterator[str]:
    """Yield what is wrong with changes that wait for a second person."""
    yield from _ids(connection, "proposals", "proposal_id")
    if not _unreadable(connection):
        for row in connection.execute(f"SELECT {PROPOSAL_ROW} FROM proposals"):  # noqa: S608
            yield from _problem(lambda row=row: proposal_from(row, connection.cipher), f"proposal {row[0]}")
        check_proposals(connection)


def api_tokens(connection: Connection) -> Iterator[str]:
    """Yield what is wrong with API tokens."""
    if _has(connection, "tokens"):
        rows = tokens.token_rows(connection)
        unreadable = _unreadable(connection)
        for row in rows:
            yield from _problem(lambda row=row: tokens.token_from(row), f"API token {row[0]}")
            if not unreadable:
                yield from _problem(lambda row=row: tokens.check_token(connection, row), f"API token {row[0]}")
        if not unreadable:
            tokens.check_all(connection, rows)


def _problem(read: Callable[..., object], where: str) -> Iterator[str]:
    """Yield what is wrong with something, when reading it fails."""
    try:
        read()
    except DataDamaged as error:
        yield str(error) if where in str(error) else f"{where}: {error}"
    except NOT_OURS:
        # Not with the error's own text, which may hold what was read.
        yield f"{where}: is not what Gerbang writes"


def templates(connection: Connection, progress: Callable[[int, int], object], *, sealed: bool = True) -> Iterator[str]:
    """Yield what is wrong with templates; `progress` is told how many are done, of how many.

    `sealed`: whether the database has a tally of them.
    """
    rows = dict(connection.execute("SELECT key, value FROM meta WHERE key <> 'seal'").fetchall())
    model, dimension = rows.get("model"), rows.get("dimension")
    unreadable = _unreadable(connection)
    (total,) = connection.execute("SELECT count(*) FROM templates").fetchone()
    chain = chain_column(connection)
    query = (
        f"SELECT template_id, subject_id, model, quality, templates.create_time_ns, {chain}, vector "  # noqa: S608
        "FROM templates CROSS JOIN subjects USING (subject_key) ORDER BY template_id"
    )
    cursor, done = connection.execute(query), 0
    counting = Counting(connection, "templates") if sealed and not unreadable else None
    while batch := list(islice(cursor, _BATCH)):
        if unreadable:
            yield from _qualities(batch)
        else:
            yield from _vectors(batch, connection.cipher, lambda of: dimension if of == model else None)
        if counting is not None:
            counting.add([each[-1] for each in batch])
        done += len(batch)
        progress(done, total)
    if counting is not None:
        counting.check()
    if not unreadable and total:
        counted = Counter(connection.execute("SELECT model FROM templates INDEXED BY templates_by_subject").fetchall())
        if (model,) not in counted:
            yield "table meta: names a recogniser of which there are no templates"


def _qualities(batch: Sequence[Any]) -> Iterator[str]:
    for template_id, subject_id, model, quality, created, chain, _ in batch:
        yield from _problem(
            lambda row=(template_id, model, quality, created, chain): template_from(row),
            f"template {template_id} of subject {subject_id}",
        )


def _vectors(batch: Sequence[Any], cipher: AnyCipher, dimension_of: Callable[[str], Any]) -> Iterator[str]:
    yield from _qualities(batch)
    for template_id, subject_id, model, quality, created, chain, sealed in batch:
        try:
            vector = cipher.open(sealed, vector_place(template_id, subject_id, model, quality, created, chain))
        except DataDamaged as error:
            yield str(error)
            continue
        where, dimension = f"template {template_id} of subject {subject_id}: its vector", dimension_of(model)
        if len(vector) % 4 or not vector or (dimension is not None and len(vector) != 4 * dimension):
            yield f"{where} has {len(vector)} bytes"
            continue
        norm = float(np.linalg.norm(np.frombuffer(vector, "<f4").astype(np.float64)))
        if not abs(norm - 1) <= _NORM_TOLERANCE:  # not true of NaN either
            yield f"{where} is not of length 1"


def _has(connection: sqlite3.Connection, table: str) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone() is not None
