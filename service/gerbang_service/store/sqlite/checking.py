"""Is a database whole: its pages, its tables, and every value in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

from gerbang_service.domain.errors import DataDamaged
from gerbang_service.store.sealing.keys import OperatorKey
from gerbang_service.store.sqlite import checking_rows
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.store.sqlite.earlier_rows import UNTARGETED_WATCHLIST
from gerbang_service.store.sqlite.meta import revision_of
from gerbang_service.store.sqlite.rows import NOT_OURS, WATCHLIST_ROW
from gerbang_service.store.sqlite.schema import APPLICATION_ID, LISTS_HAVE_TARGETS, MIGRATIONS, PROPOSALS, ROWS_SEALED
from gerbang_service.store.sqlite.vault import cipher_of, wrapped_by
from gerbang_service.store.sqlite.wal_check import LogDamage

# Enough to see what happened; the rest is counted.
_SHOWN = 100
# From this schema on answers to requests hold ids only, and lists have keys.
_ANSWERS_OF_IDS = 4
_TABLES = ("subjects", "templates", "watchlists", "memberships", "requests", "tokens", "proposals")

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
            sealed = version >= ROWS_SEALED
            parts: dict[str, Callable[[Connection], Iterable[str]]] = {
                "meta": checking_rows.meta,
                "subjects": checking_rows.subjects if sealed else checking_rows.earlier_subjects,
                "watchlists": _watchlists(version),
                "requests": checking_rows.requests if version >= _ANSWERS_OF_IDS else checking_rows.older_requests,
                "memberships": checking_rows.memberships if version >= _ANSWERS_OF_IDS else lambda _: (),
                "proposals": checking_rows.proposals if version >= PROPOSALS else lambda _: (),
                "tokens": checking_rows.api_tokens if sealed else lambda _: (),
                "templates": lambda each: checking_rows.templates(each, progress, sealed=sealed),
            }
            for table, part in parts.items():
                _try(report, table, part, connection)
    finally:
        # An error may have ended it, which is then not hidden by another.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return report


def _watchlists(version: int) -> Callable[[Connection], Iterable[str]]:
    if version < ROWS_SEALED:
        return checking_rows.earlier_watchlists
    columns = WATCHLIST_ROW if version >= LISTS_HAVE_TARGETS else UNTARGETED_WATCHLIST
    return lambda each: checking_rows.watchlists(each, columns)


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
