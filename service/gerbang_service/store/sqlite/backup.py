"""A copy of a database that runs, and a data folder made of such a copy."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from gerbang_service.domain.errors import StartupError
from gerbang_service.store.folders import make_folder, sync_folder
from gerbang_service.store.sealing.keys import OperatorKey
from gerbang_service.store.sqlite.checking import Progress, Report, check
from gerbang_service.store.sqlite.connection import DATABASE_FILE, look
from gerbang_service.store.sqlite.epoch import RESTORED_FILE, mark_restored
from gerbang_service.store.sqlite.vault import WrongKey
from gerbang_service.store.sqlite.wal_check import log_damage

# How often progress is told, instructions of SQLite's machine.
_TOLD_EVERY = 100_000
_COPIED_AT_ONCE = 1 << 20


class Unsound(StartupError):
    """What was to be copied is damaged; `report` says where."""

    def __init__(self, message: str, report: Report) -> None:
        super().__init__(message)
        self.report = report


def backup(folder: Path, target: Path, key: OperatorKey | None, progress: Progress = lambda _d, _a: None) -> Report:
    """Write a consistent copy of a folder's database into a new file, while a server may use it, and check it.

    The copy is of one moment, and as encrypted as the database. The file has its name only when all of it is written,
    on disk, and was found sound; it is never written over another. Without the key what is encrypted is copied, and
    reported as not checked. Raises StartupError, Unsound and WrongKey; sqlite3.Error.
    """
    database = folder / DATABASE_FILE
    if not database.exists():
        raise StartupError(f"{folder} holds no database of Gerbang's")
    # Not after the copy: it would be whole, but for what SQLite does not see.
    if (damage := log_damage(database)) is not None:
        raise Unsound(str(damage), Report([str(damage)], 1))
    with _new_file(target) as file, closing(look(database)) as source:
        size = database.stat().st_size

        def tell() -> None:
            progress(file.stat().st_size, size)

        source.set_progress_handler(tell, _TOLD_EVERY)
        # Reads in one transaction, which keeps nobody from writing. Free pages are left out.
        source.execute("PRAGMA query_only = OFF")
        try:
            source.execute("VACUUM INTO ?", (str(file),))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_FULL":
                raise
            raise StartupError(f"{target.parent}: there is no room for the copy") from error
        try:
            return verified(file, key, progress)
        except Unsound as error:
            raise Unsound(
                f"{folder} is damaged, and so would be its copy: {error.report.damage[0]}", error.report
            ) from error


def restore(copy: Path, folder: Path, key: OperatorKey | None, progress: Progress = lambda _d, _a: None) -> Report:
    """Make a data folder of a backup that is sound. Raises as `backup`.

    The folder must be new, empty, or left by a restore that failed.
    """
    if not copy.is_file():
        raise StartupError(f"backup {copy}: there is no such file")
    log = copy.with_name(f"{copy.name}-wal")
    if log.exists() and log.stat().st_size:
        raise StartupError(
            f"{copy} is no backup but a database in use: {log.name} beside it holds changes that are not in it. "
            f"Copy both with 'gerbang backup --data {copy.parent} TARGET', and restore TARGET"
        )
    parts = list(folder.glob(f".{DATABASE_FILE}.*.part"))
    if folder.exists() and any(each not in parts and each.name != RESTORED_FILE for each in folder.iterdir()):
        raise StartupError(
            f"{folder} is not empty: a backup is restored into a new or empty folder, or one that a failed restore left"
        )
    _whole(verified(copy, key, progress), copy)
    make_folder(folder)
    mark_restored(folder)
    for each in parts:  # of one that was killed
        each.unlink(missing_ok=True)
    with _new_file(folder / DATABASE_FILE) as file:
        size = copy.stat().st_size
        with copy.open("rb") as source, file.open("wb") as out:
            while part := source.read(_COPIED_AT_ONCE):
                out.write(part)
                progress(out.tell(), size)
        # Not of what the disk gave when it was checked, but of what is there now.
        return _whole(verified(file, key, progress), file)


def _whole(report: Report, file: Path) -> Report:
    if report.unchecked:
        raise WrongKey(f"{file} can't be verified: {report.unchecked[0]}")
    return report


def verified(file: Path, key: OperatorKey | None, progress: Progress) -> Report:
    """Check a database file that nobody writes, and return the report; raises Unsound when it is damaged."""
    try:
        with closing(look(file, immutable=True)) as connection:
            report = check(connection, key, progress)
    except sqlite3.Error as error:
        raise StartupError(f"{file}: {error}") from error
    if report.damaged:
        raise Unsound(f"{file} is damaged: {report.damage[0]}", report)
    return report


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """Lend an empty file that only its owner can read; at the end put it on disk under its name, if that is free."""
    if target.exists():
        raise StartupError(f"{target}: is there already, and nothing is overwritten")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield part
        _sync(part)
        _name(part, target)
        sync_folder(target.parent)
    except FileExistsError:
        raise StartupError(f"{target}: is there already, and nothing is overwritten") from None
    except OSError as error:
        raise StartupError(f"{target}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _name(part: Path, target: Path) -> None:
    try:
        # Fails when there is such a file by now, as a rename would not.
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:
        # A disk without links, such as a memory stick's.
        if target.exists():
            raise FileExistsError(target) from None
        part.rename(target)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
