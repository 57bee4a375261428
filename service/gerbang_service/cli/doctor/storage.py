"""The data folder: whose it is, whether the database is sound and fits, and how much room there is."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gerbang_service.cli.doctor.finding import Finding, Level
from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import DataDamaged, GerbangError, StoreUnavailable
from gerbang_service.domain.faces import CaptureChain
from gerbang_service.store.sealing.keys import ENVIRONMENT, OperatorKey, find_key
from gerbang_service.store.sqlite.checking import Report
from gerbang_service.store.sqlite.commands import Outline, check, check_key, outline
from gerbang_service.store.sqlite.connection import DATABASE_FILE, LOCK_FILE
from gerbang_service.store.sqlite.vault import WrongKey

_AREA, _DISK = "data folder", "disk"
# Free room, bytes, below which writes fail soon, whatever the size of the database.
_HARDLY_ANY = 100 * 2**20
_RATHER_LITTLE = 2 * 2**30
_CHOWN = "run as its owner, or chown it"
_RESTORE = "copy the folder as it is, look at the disk (dmesg), then restore a backup: docs/operations.md"


@dataclass(slots=True)
class StorageCheck:
    """Checks the folder without changing anything in it, beside a running server if there is one.

    `model`: the pack's recogniser, `chain`: what stands before it, None when that is not known. Afterwards: how many
    `templates` of how many `dimension`s are stored, of which recogniser if it is of one, and whether a server is
    `running` on it.
    """

    settings: Settings
    model: str | None
    chain: CaptureChain | None = None
    templates: int = field(default=0, init=False)
    dimension: int = field(default=0, init=False)
    running: bool = field(default=False, init=False)
    stored_model: str | None = field(default=None, init=False)
    _key: OperatorKey | None = field(default=None, init=False)

    def __call__(self) -> Iterator[Finding]:
        """Look at the folder, the database, the key, and the disk."""
        try:
            yield from self._all(self.settings.data)
        except PermissionError as error:
            yield Finding.fail(_AREA, f"{error.filename} can't be reached", _CHOWN)

    def _all(self, folder: Path) -> Iterator[Finding]:
        yield from self._folder(folder)
        database = folder / DATABASE_FILE
        if database.exists():
            yield from self._database(database)
        else:
            yield Finding.ok(_AREA, f"{folder} holds no database yet: the first start makes one")
            yield from self._find_key(None)
        yield from self._audit_log(folder)
        yield from self._disk(folder, database)

    def _audit_log(self, folder: Path) -> Iterator[Finding]:
        if not self.settings.audit_log:
            return
        log = self.settings.audit_folder or folder / "audit"
        there = next(each for each in (log.absolute(), *log.absolute().parents) if each.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            yield Finding.fail("audit log", f"{log} can't be written: nothing could be changed", "chown it")
            return
        free, advice = shutil.disk_usage(there).free, "archive old files, or make room"
        if free < _HARDLY_ANY:
            yield Finding.fail(
                "audit log", f"{free / 2**20:.0f} MB are free for it: when none is, searches are refused too", advice
            )
        elif free < _RATHER_LITTLE:
            yield Finding.warning("audit log", "less than 2 GB are free for it: a busy day's records", advice)
        else:
            yield Finding.ok("audit log", f"{log} can be written")

    def _folder(self, folder: Path) -> Iterator[Finding]:
        if not folder.exists():
            parent = next(each for each in folder.absolute().parents if each.exists())
            if not os.access(parent, os.W_OK | os.X_OK):
                yield Finding.fail(_AREA, f"{folder} can't be made: {parent} may not be written", "make it yourself")
            return
        if not folder.is_dir() or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            yield Finding.fail(_AREA, f"{folder} can't be read and written", _CHOWN)
            return
        for path in (folder, *sorted(folder.iterdir())):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                yield Finding.warning(
                    _AREA, f"{path} is open to others (mode {mode:04o})", f"chmod go= {path}, and look who read it"
                )
        self.running = _is_locked(folder / LOCK_FILE)
        if self.running:
            yield Finding.ok(_AREA, "a server runs on it")

    def _database(self, database: Path) -> Iterator[Finding]:
        files = (database, *(database.with_name(database.name + end) for end in ("-wal", "-shm")))
        closed = [file for file in files if file.exists() and not os.access(file, os.R_OK | os.W_OK)]
        if closed:
            yield Finding.fail(_AREA, f"{closed[0]} can't be read and written", f"{_CHOWN}; chmod 600 {closed[0]}")
            return
        try:
            found = outline(database.parent)
            schema = _schema(found)
            yield schema
            if schema.level is Level.FAIL:
                return
            yield from self._find_key(found)
            yield from self._contents(found)
            yield _soundness(check(database.parent, self._key))
        except (StoreUnavailable, DataDamaged) as error:
            yield Finding.fail(_AREA, f"{database} can't be read: {error}", _RESTORE)

    def _find_key(self, found: Outline | None) -> Iterator[Finding]:
        settings = self.settings
        needed = None if found is None else found.key_id
        if not settings.encryption:
            if needed is not None:
                yield Finding.fail(
                    "key", f"{settings.data} is encrypted (key {needed})", "say encryption, and give that key"
                )
            return
        try:
            key = find_key(settings.key_file)
            if key is None:
                yield Finding.fail(
                    "key",
                    f"no key is given{f', and {needed} is needed' if needed else ''}",
                    f"set key_file or {ENVIRONMENT}{'' if needed else '; gerbang key create makes a first one'}",
                )
                return
            if found is not None:
                check_key(settings.data, key)
        except WrongKey as error:
            yield Finding.fail("key", str(error), "find the key with this id: without it nothing can be read")
            return
        except GerbangError as error:
            yield Finding.fail("key", str(error), "the file has to be there, hold a key, and be its user's alone")
            return
        self._key = key
        if needed is None and found is not None and found.revision:
            yield Finding.fail("key", f"{settings.data} holds faces in the clear", "gerbang key encrypt")
            return
        yield Finding.ok("key", f"key {key.id} {'fits' if needed else 'is ready'}")

    def _contents(self, found: Outline) -> Iterator[Finding]:
        models = found.models or {}
        self.dimension, self.templates = found.dimension, sum(models.values())
        self.stored_model = next(iter(models)) if len(models) == 1 else None
        others = {name: count for name, count in models.items() if self.model and name != self.model}
        if others and self.settings.other_models == "refuse":
            named = ", ".join(f"{count} of recogniser {name[:12]}..." for name, count in others.items())
            yield Finding.fail(
                _AREA, f"templates of another recogniser are stored: {named}", "use the pack they were made with"
            )
            return
        if self.chain is not None and (strange := sorted(str(each) for each in found.chains if each != self.chain)):
            yield Finding.warning(
                _AREA,
                f"templates were made with {'; '.join(strange)}; this configuration makes them with {self.chain}",
                "set det_size and the pack as they were, or enrol again: similarities are measured for one of them",
            )
        else:
            yield Finding.ok(
                _AREA,
                f"{self.templates:,} templates at revision {found.revision:,}"
                if not others
                else f"{sum(others.values()):,} templates of other recognisers are left unused",
            )

    def _disk(self, folder: Path, database: Path) -> Iterator[Finding]:
        at = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
        usage = shutil.disk_usage(at)
        size = database.stat().st_size if database.exists() else 0
        free = f"{usage.free / 2**30:.1f} GB are free"
        if usage.free < _HARDLY_ANY:
            yield Finding.fail(_DISK, free, "writes fail when it is full: make room, or move the folder")
        elif usage.free < max(_RATHER_LITTLE, 2 * size):
            yield Finding.warning(_DISK, free, "a backup and a migration each need room for the database again")
        else:
            yield Finding.ok(_DISK, free)


def _schema(found: Outline) -> Finding:
    version, newest = found.schema, found.newest
    if not found.ours:
        return Finding.fail(_AREA, "the database file is not one of Gerbang's", "name another folder")
    if version > newest:
        return Finding.fail(
            _AREA,
            f"the database has schema {version}, this program knows up to {newest}",
            "use the newer program that wrote it",
        )
    if version < newest:
        return Finding.warning(
            _AREA,
            f"the next start changes the database from schema {version} to {newest}, for good",
            "make a backup first",
        )
    return Finding.ok(_AREA, f"schema {version} is current")


def _soundness(report: Report) -> Finding:
    if report.damaged:
        more = f", and {report.damaged - 1} more" if report.damaged > 1 else ""
        return Finding.fail(
            _AREA,
            f"damaged: {report.damage[0]}{more}",
            "copy the folder as it is; gerbang check names all that is damaged, docs/operations.md says what to do",
        )
    if report.unchecked:
        return Finding.warning(_AREA, f"not checked: {report.unchecked[0]}", "run this again with the key")
    return Finding.ok(_AREA, "the database is whole, as far as gerbang check can tell")


def _is_locked(lock: Path, table: Path = Path("/proc/locks")) -> bool:
    """Tell whether anybody holds the lock, without trying to take it: a server that starts just now would refuse."""
    try:
        status, held = lock.stat(), table.read_text()
    except OSError:
        return False
    major, minor = os.major(status.st_dev), os.minor(status.st_dev)
    # File systems without a device of their own (btrfs, overlay) may have another minor number here than there.
    device = f"{major:02x}:{minor:02x}" if major else "00:[0-9a-f]+"
    return re.search(rf"FLOCK .* {device}:{status.st_ino} ", held) is not None
