"""Is a database whole: its pages, its tables, and every value in it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from gerbang_service.domain.errors import DataDamaged
from gerbang_service.store.sealing.cipher import AnyCipher
from gerbang_service.store.sealing.keys import OperatorKey
from gerbang_service.store.sqlite import tokens
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.store.sqlite.meta import check_settings, revision_of
from gerbang_service.store.sqlite.reading import opened_request
from gerbang_service.store.sqlite.rows import (
    NOT_OURS,
    SUBJECT_COLUMNS,
    WATCHLIST_COLUMNS,
    subject_labels,
    template_from,
    vector_place,
    watchlist_from,
)
from gerbang_service.store.sqlite.schema import APPLICATION_ID, MIGRATIONS
from gerbang_service.store.sqlite.vault import check_meta, cipher_of, wrapped_by
from gerbang_service.store.sqlite.wal_check import LogDamage

_BATCH = 8192
# Of unit vectors as float32: the rounding of 4096 coordinates stays far below.
_NORM_TOLERANCE = 1e-4
# Enough to see what happened; the rest is counted.
_SHOWN = 100
_TABLES = ("subjects", "templates", "watchlists", "memberships", "requests", "tokens")

Progress = Callable[[int, int], object]


@dataclass(slots=True)
class Report:
    """What a check found. `damage`: a sentence each, the first hundred of `damaged`; `unchecked`: what it could not."""

    damage: list[str] = field(default_factory=list)
    damaged: int = 0
    unchecked: list[str] = field(default_factory=list)
    key_id: str | None = None
    revision: int | None = None
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """Whether all was checked and nothing was damaged."""
        return not self.damaged and not self.unchecked

    def add(self, problems: Iterable[str]) -> None:
        """Note damage."""
        for each in problems:
            self.damaged += 1
            if len(self.damage) < _SHOWN:
                self.damage.append(each)


def check(
    connection: Connection,
    key: OperatorKey | None,
    progress: Progress = lambda _done, _all: None,
    log: LogDamage | None = None,
) -> Report:
    """Check everything, in one state of the database. Without a key, what is encrypted is reported as not checked.

    `progress` is told how many templates are done, of how many. `log`: what `log_damage` found before the connection
    was opened, which does not see it. Raises WrongKey for another key than the database's. What is damaged so much that
    it can't be read is in the report as well.
    """
    report = Report()
    if log is not None:
        report.add([str(log)])
    try:
        connection.execute("BEGIN")
    except sqlite3.Error as error:
        report.add([str(error)])
        return report
    try:
        # Each on its own: what makes one impossible leaves the others.
        version = _pages(connection, report)
        if version:
            _open(connection, key, report)
            parts: dict[str, Callable[[Connection], Iterable[str]]] = {
                "meta": _meta,
                "subjects": _subjects,
                "watchlists": _watchlists,
                "requests": _requests,
                "tokens": _tokens,
                "templates": lambda each: _templates(each, progress),
            }
            for table, part in parts.items():
                _try(report, table, part, connection)
    finally:
        # An error may have ended it, which is then not hidden by another.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return report


def _try(report: Report, table: str, part: Callable[[Connection], Iterable[str]], connection: Connection) -> None:
    try:
        report.add(part(connection))
    except (sqlite3.Error, DataDamaged) as error:
        report.add([str(error)])
    except NOT_OURS:
        report.add([f"table {table}: holds what Gerbang does not write"])


def _pages(connection: Connection, report: Report) -> int:
    """Check pages, indexes, references and the schema; return its version, or 0 when it is not to be used."""
    version = 0
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID or not 0 < version <= len(MIGRATIONS):
            report.add([f"not a database of Gerbang's, or of a later version (schema {version})"])
            return 0
        report.add(f"pages: {text}" for (text,) in connection.execute("PRAGMA integrity_check") if text != "ok")
        report.add(
            f"table {table}, row {row}: belongs to a row of {parent} that is not there"
            for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check")
        )
        report.add(_schema(connection, version))
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
        for table in names.intersection(_TABLES):
            (report.counts[table],) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
        report.revision = revision_of(connection)
    except (sqlite3.Error, DataDamaged, *NOT_OURS) as error:
        report.add([f"pages: {error}"])
    return version


def _schema(connection: sqlite3.Connection, version: int) -> Iterator[str]:
    query = "SELECT type, name, tbl_name, sql FROM sqlite_schema"
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        for statements in MIGRATIONS[:version]:
            model.executescript(statements)
        wanted = set(model.execute(query))
    if set(connection.execute(query)) != wanted:
        yield f"the tables are not those of schema {version}"


def _open(connection: Connection, key: OperatorKey | None, report: Report) -> None:
    """Find the cipher; without one, note what can't be checked."""
    try:
        report.key_id = wrapped_by(connection)
        if report.key_id is not None and key is None:
            report.unchecked.append(
                f"what is encrypted: give key {report.key_id} with --key-file FILE, or in GERBANG_KEY"
            )
        else:
            connection.cipher = cipher_of(connection, key)
    except (sqlite3.Error, DataDamaged, *NOT_OURS) as error:
        report.add([str(error)])
        report.unchecked.append("what is encrypted: the data key can't be had")


def _unreadable(connection: Connection) -> bool:
    return not connection.cipher.encrypts and wrapped_by(connection) is not None


def _meta(connection: Connection) -> Iterator[str]:
    check_settings(connection)
    revision = revision_of(connection)
    if _has(connection, "changes"):
        (latest,) = connection.execute("SELECT max(revision) FROM changes").fetchone()
        if latest is not None and latest > revision:
            yield f"table changes: knows revision {latest}, but the last one is {revision}"
    query = "SELECT max(template_id), (SELECT seq FROM sqlite_sequence WHERE name = 'templates') FROM templates"
    last, given = connection.execute(query).fetchone()
    if last is not None and not (isinstance(given, int) and given >= last):
        yield f"ids of templates: {given} is said to be the last, but there is {last}"
    if not _unreadable(connection):
        check_meta(connection)


def _subjects(connection: Connection) -> Iterator[str]:
    query = f"SELECT {SUBJECT_COLUMNS} FROM subjects ORDER BY subject_key"  # noqa: S608 - constant columns
    unreadable = _unreadable(connection)
    for row in connection.execute(query):
        name, *validity = row[:3]
        times = [each for each in validity if each is not None]
        if not all(isinstance(each, int) for each in times):
            yield f"subject {name}: is valid from or until what is no time"
        elif len(times) > 1 and times[0] >= times[1]:
            yield f"subject {name}: is valid until before it is valid"
        if not unreadable:
            yield from _problem(lambda row=row: subject_labels(row, connection.cipher), f"subject {name}")


def _watchlists(connection: Connection) -> Iterator[str]:
    if not _unreadable(connection):
        for row in connection.execute(f"SELECT {WATCHLIST_COLUMNS} FROM watchlists"):  # noqa: S608
            yield from _problem(lambda row=row: watchlist_from(row, connection.cipher), f"watchlist {row[0]}")


def _requests(connection: Connection) -> Iterator[str]:
    if not _unreadable(connection):
        for row in connection.execute("SELECT request_id, digest, subject_id, answer FROM requests"):
            yield from _problem(lambda row=row: opened_request(connection, *row), f"request {row[0]}")


def _tokens(connection: Connection) -> Iterator[str]:
    if _has(connection, "tokens"):
        yield from _problem(lambda: tokens.all_tokens(connection), "table tokens")


def _problem(read: Callable[..., object], where: str) -> Iterator[str]:
    """Yield what is wrong with something, when reading it fails."""
    try:
        read()
    except DataDamaged as error:
        yield str(error) if where in str(error) else f"{where}: {error}"
    except NOT_OURS:
        # Not with the error's own text, which may hold what was read.
        yield f"{where}: is not what Gerbang writes"


def _templates(connection: Connection, progress: Progress) -> Iterator[str]:
    rows = dict(connection.execute("SELECT key, value FROM meta WHERE key <> 'seal'").fetchall())
    model, dimension = rows.get("model"), rows.get("dimension")
    unreadable = _unreadable(connection)
    (total,) = connection.execute("SELECT count(*) FROM templates").fetchone()
    query = (
        "SELECT template_id, subject_id, model, quality, templates.create_time_ns, vector "
        "FROM templates CROSS JOIN subjects USING (subject_key) ORDER BY template_id"
    )
    cursor, done = connection.execute(query), 0
    while batch := list(islice(cursor, _BATCH)):
        if unreadable:
            yield from _qualities(batch)
        else:
            yield from _vectors(batch, connection.cipher, lambda of: dimension if of == model else None)
        done += len(batch)
        progress(done, total)
    if not unreadable and total:
        counted = Counter(connection.execute("SELECT model FROM templates INDEXED BY templates_by_subject").fetchall())
        if (model,) not in counted:
            yield "table meta: names a recogniser of which there are no templates"


def _qualities(batch: Sequence[Any]) -> Iterator[str]:
    for template_id, subject_id, model, quality, created, _ in batch:
        yield from _problem(
            lambda row=(template_id, model, quality, created): template_from(row),
            f"template {template_id} of subject {subject_id}",
        )


def _vectors(batch: Sequence[Any], cipher: AnyCipher, dimension_of: Callable[[str], Any]) -> Iterator[str]:
    yield from _qualities(batch)
    for template_id, subject_id, model, quality, created, sealed in batch:
        try:
            vector = cipher.open(sealed, vector_place(template_id, subject_id, model, quality, created))
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
