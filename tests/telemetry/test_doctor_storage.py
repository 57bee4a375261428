"""`gerbang doctor` on data folders: whose they are, what is in them, and the key."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import time
from base64 import b64encode
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from gerbang import WatchlistClient
from gerbang_service.cli.doctor.finding import Finding, Level
from gerbang_service.cli.doctor.machine import check_clock
from gerbang_service.cli.doctor.storage import StorageCheck, _is_locked
from gerbang_service.configuration.settings import Settings
from gerbang_service.store.sqlite.connection import DATABASE_FILE
from gerbang_service.store.sqlite.schema import APPLICATION_ID, MIGRATIONS
from running import KEY, RunningServer
from telemetry.examined import doctor, fails, warnings
from telemetry.metered import DIMENSION, TEMPLATES


@pytest.fixture(scope="module")
def once_served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one template, whose server has ended."""
    data = tmp_path_factory.mktemp("doctor") / "data"
    with RunningServer(data, *TEMPLATES) as server, WatchlistClient(server.address) as office:
        office.create_watchlist("w")
        office.enroll("a", [[1.0] * DIMENSION], watchlists=["w"])
        assert server.stop() == 0
    return data


@pytest.fixture
def served(once_served: Path, data: Path) -> Path:
    """A copy of it for one test."""
    shutil.copytree(once_served, data)
    return data


def database(data: Path) -> sqlite3.Connection:
    """Open the database as somebody might who should not."""
    return sqlite3.connect(data / DATABASE_FILE, isolation_level=None)


def test_a_sound_set_up_has_nothing_to_mend(served: Path) -> None:
    """Exit code 0, and every area is told of."""
    code, findings = doctor(served)
    assert (code, fails(findings), warnings(findings)) == (0, [], [])
    areas = {each["area"] for each in findings}
    expected = {
        "configuration",
        "face pack",
        "data folder",
        "key",
        "audit log",
        "disk",
        "certificates",
        "ports",
        "thresholds",
    }
    assert areas == expected | {"machine", "memory", "clock"}
    assert any("1 templates at revision 2" in each["text"] for each in findings)


def test_looking_changes_nothing(served: Path) -> None:
    """The same files with the same content, and no lock taken."""
    before = contents(served)
    doctor(served)
    assert contents(served) == before


def contents(data: Path) -> dict[str, bytes]:
    """Return all files but the index of the write-ahead log, which SQLite makes for whoever reads."""
    found = {path.name: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    assert found[DATABASE_FILE]
    return {name: content for name, content in found.items() if not name.endswith("-shm")}


def test_a_damaged_database_fails(served: Path) -> None:
    """Pages that were overwritten are found."""
    with closing(database(served)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file = served / DATABASE_FILE
    content = bytearray(file.read_bytes())
    content[8192 * 3 : 8192 * 5] = b"\xa5" * (8192 * 2)
    file.write_bytes(content)
    (failed,) = fails(doctor(served)[1])
    assert failed.startswith("data folder")


def test_a_flipped_byte_of_a_value_fails(served: Path) -> None:
    """What a start would refuse: no page is damaged, and whose vector it is is told."""
    with closing(database(served)) as connection:
        (vector,) = connection.execute("SELECT vector FROM templates").fetchone()
        connection.execute("UPDATE templates SET vector = ?", (bytes((vector[0] ^ 1, *vector[1:])),))
    (failed,) = fails(doctor(served)[1])
    assert failed.startswith("data folder: damaged: template 1 of subject a: its vector")


def test_a_row_that_gerbang_does_not_write_fails(served: Path) -> None:
    """A number that became text: told without the text."""
    with closing(database(served)) as connection:
        connection.execute("UPDATE meta SET value = 'secret' WHERE key = 'dimension'")
    (failed,) = fails(doctor(served)[1])
    assert failed == f"data folder: {served / DATABASE_FILE} can't be read: it holds what Gerbang does not write"


def test_a_newer_or_foreign_database_fails(served: Path) -> None:
    """One of a later program, and one that is not Gerbang's at all."""
    with closing(database(served)) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "has schema 99" in fails(doctor(served)[1])[0]
    with closing(database(served)) as connection:
        connection.execute("PRAGMA application_id = 1")
    assert "not one of Gerbang's" in fails(doctor(served)[1])[0]


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
def test_an_older_database_is_not_called_current(data: Path, version: int) -> None:
    """The doctor of a new version says beforehand that the next start changes it; only the newest is current."""
    data.mkdir(0o700)
    with closing(database(data)) as connection:
        for script in MIGRATIONS[:version]:
            connection.executescript(script)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
    (data / DATABASE_FILE).chmod(0o600)
    _, findings = doctor(data, "--no-encryption")
    changed = any(f"from schema {version} to {len(MIGRATIONS)}" in each for each in warnings(findings))
    current = any("current" in each["text"] for each in findings)
    assert (changed, current) == ((False, True) if version == len(MIGRATIONS) else (True, False))
    assert fails(findings) == []


def test_a_lock_is_told_by_device_and_inode(tmp_path: Path) -> None:
    """Another file system's file with the same number is another file."""
    lock, table = tmp_path / "LOCK", tmp_path / "locks"
    lock.touch()
    assert not _is_locked(lock)
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert _is_locked(lock)
    status = lock.stat()
    table.write_text(f"1: FLOCK  ADVISORY  WRITE 77 fd:63:{status.st_ino} 0 EOF\n")
    assert not _is_locked(lock, table)
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    table.write_text(f"1: POSIX  ADVISORY  WRITE 77 {device}:{status.st_ino} 0 EOF\n")
    assert not _is_locked(lock, table)
    table.write_text(f"1: FLOCK  ADVISORY  WRITE 77 {device}:{status.st_ino} 0 EOF\n")
    assert _is_locked(lock, table)


def test_templates_of_another_recogniser_fail(served: Path) -> None:
    """Unless they are to be ignored."""
    assert "another recogniser" in fails(doctor(served, "--model", "f" * 64)[1])[0]
    assert doctor(served, "--model", "f" * 64, "--other-models", "ignore")[0] == 0


def test_keys_that_are_wrong_missing_or_open_fail(served: Path, tmp_path: Path) -> None:
    """The folder says which key it needs; a key file is its owner's alone."""
    other = b64encode(b"x" * 32).decode()
    assert "needs key" in fails(doctor(served, env={"GERBANG_KEY": other})[1])[0]
    assert "no key is given" in fails(doctor(served, env={"GERBANG_KEY": ""})[1])[0]
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o644)
    assert "others than its owner" in fails(doctor(served, "--key-file", str(file))[1])[0]
    file.chmod(0o600)
    assert doctor(served, "--key-file", str(file))[0] == 0
    assert "is encrypted" in fails(doctor(served, "--no-encryption")[1])[0]


def test_a_key_is_to_be_looked_for_only_when_it_is_another(served: Path, tmp_path: Path) -> None:
    """A file that is open to others, missing or no key is not a lost key."""
    (tmp_path / "open").write_text(KEY)
    (tmp_path / "open").chmod(0o640)
    (tmp_path / "none").write_text("none")
    (tmp_path / "none").chmod(0o600)
    for name in ("open", "missing", "none"):
        _, findings = doctor(served, "--key-file", str(tmp_path / name))
        (advice,) = [each["advice"] for each in findings if each["level"] == "fail"]
        assert advice == "the file has to be there, hold a key, and be its user's alone"
        assert any(each.startswith("not checked: what is encrypted") for each in warnings(findings))
    _, findings = doctor(served, env={"GERBANG_KEY": b64encode(b"x" * 32).decode()})
    assert [each["advice"] for each in findings if each["level"] == "fail"] == [
        "find the key with this id: without it nothing can be read"
    ]


def looked_at(data: Path, monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """Return what fails of a folder, as this process finds it."""
    monkeypatch.setenv("GERBANG_KEY", KEY)
    findings = StorageCheck(Settings(data=data, pack="none"), None)()
    return [each for each in findings if each.level is Level.FAIL]


@pytest.mark.parametrize("end", ["", "-wal"])
def test_files_of_another_user_are_no_reason_to_restore(
    served: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """Root may read all, so the kernel's answer is made up."""
    closed = served / (DATABASE_FILE + end)
    closed.touch()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed and access(path, mode))
    (failed,) = looked_at(served, monkeypatch)
    assert failed.text == f"{closed} can't be read and written"
    assert failed.advice == f"run as its owner, or chown it; chmod 600 {closed}"


def test_a_folder_that_can_not_be_reached_is_no_crash(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as in a folder that only its owner may enter; the clock is judged without it."""

    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    (failed,) = looked_at(served, monkeypatch)
    assert (failed.text, failed.advice) == (f"{served} can't be reached", "run as its owner, or chown it")
    assert [each for each in check_clock(Settings(data=served, pack="none")) if each.level is Level.FAIL] == []


def test_a_full_disk_fails_for_the_audit_log_too(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing can be recorded, nobody is searched for either."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50 * 2**20))
    log, disk = looked_at(served, monkeypatch)
    assert (log.area, disk.area) == ("audit log", "disk")
    assert "searches are refused too" in log.text


def test_faces_in_the_clear_are_not_taken_for_encrypted_ones(data: Path) -> None:
    """A key that was given for a folder that was made without one; the way out is named."""
    with RunningServer(data, *TEMPLATES, "--no-encryption") as server, WatchlistClient(server.address) as office:
        office.create_watchlist("w")
    assert fails(doctor(data)[1]) == [f"key: {data} holds faces in the clear"]
    assert doctor(data, "--no-encryption")[0] == 0


def test_a_folder_that_others_can_read_is_doubted(served: Path) -> None:
    """Each file and the folder itself."""
    (served / DATABASE_FILE).chmod(0o644)
    (doubt,) = warnings(doctor(served)[1])
    assert f"{DATABASE_FILE} is open to others (mode 0644)" in doubt


def test_a_clock_that_went_back_fails(served: Path) -> None:
    """A database from the future: expiry times would be judged by a wrong clock."""
    tomorrow = time.time() + 86400
    os.utime(served / DATABASE_FILE, (tomorrow, tomorrow))
    assert "the clock went back" in fails(doctor(served)[1])[0]
