"""`gerbang doctor` on set-ups that are sound, and on those that are not."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from base64 import b64encode
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gerbang import WatchlistClient
from gerbang_service.cli.doctor.storage import _is_locked
from gerbang_service.store.connection import DATABASE_FILE
from gerbang_service.store.schema import APPLICATION_ID, MIGRATIONS
from running import KEY, RunningServer
from watching.certificates import certificate
from watching.watched import DIMENSION, TEMPLATES

WATCHED = ("--metrics-listen", "127.0.0.1:0")


def doctor(data: Path, *options: str, env: dict[str, str] | None = None) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit code and the findings."""
    command = [sys.executable, "-m", "gerbang_service.cli", "doctor", "--data", str(data), "--listen", "127.0.0.1:0"]
    ended = subprocess.run(
        [*command, *TEMPLATES, *WATCHED, *options, "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "GERBANG_KEY": KEY, **(env or {})},
    )
    assert ended.returncode in (0, 1), ended.stderr
    document = json.loads(ended.stdout)
    assert document["healthy"] == (ended.returncode == 0)
    return ended.returncode, document["findings"]


def fails(findings: list[dict[str, Any]]) -> list[str]:
    """Return what fails, each with what would mend it."""
    assert all(each["advice"] for each in findings if each["level"] == "fail")
    return [f"{each['area']}: {each['text']}" for each in findings if each["level"] == "fail"]


def warnings(findings: list[dict[str, Any]]) -> list[str]:
    """Return what somebody should look at. The clock of a test machine is left out."""
    return [each["text"] for each in findings if each["level"] == "warning" and each["area"] != "clock"]


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
    expected = {"configuration", "face pack", "data folder", "key", "audit log", "disk", "certificates", "ports"}
    assert areas == expected | {"machine", "memory", "clock"}
    assert any("1 templates at revision 2" in each["text"] for each in findings)


def test_a_new_folder_is_sound_and_stays_missing(data: Path) -> None:
    """Looking makes nothing."""
    code, findings = doctor(data)
    assert (code, fails(findings)) == (0, [])
    assert not data.exists()


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


def test_it_may_be_run_beside_the_server(data: Path) -> None:
    """The folder is in use and the port taken by the very server that is asked about: all is well."""
    with RunningServer(data, *TEMPLATES) as server, WatchlistClient(server.address) as office:
        office.create_watchlist("w")
        code, findings = doctor(data, "--listen", server.address)
        assert (code, fails(findings)) == (0, [])
        assert any(each["text"] == "a server runs on it" for each in findings)
        assert office.create_watchlist("x").revision == 2


def test_the_stand_in_pack_is_run_and_doubted(data: Path) -> None:
    """Both networks are run once; that it knows drawn faces only is said."""
    code, findings = doctor(data, "--pack", "stand-in")
    assert code == 0
    assert any("detects and embeds in" in each["text"] for each in findings)
    assert any("drawn faces only" in each for each in warnings(findings))


def test_a_pack_that_is_not_there_fails(data: Path, tmp_path: Path) -> None:
    """A folder without networks, and one that does not exist."""
    (tmp_path / "empty").mkdir()
    assert "can't be loaded" in fails(doctor(data, "--pack", str(tmp_path / "empty"))[1])[0]
    assert "no such folder" in fails(doctor(data, "--pack", str(tmp_path / "nowhere"))[1])[0]


def test_settings_that_contradict_each_other_fail(data: Path) -> None:
    """What serve would refuse, the doctor names."""
    code, findings = doctor(data, "--listen", "0.0.0.0:0")
    assert code == 1
    assert "listen" in fails(findings)[0]


def test_what_is_off_is_doubted(data: Path) -> None:
    """Encryption, records, audits and watching are missed when they are switched off."""
    options = ("--no-encryption", "--no-audit-log", "--audit-every", "0", "--metrics-listen", "")
    _, findings = doctor(data, *options)
    said = " ".join(warnings(findings))
    for expected in ("in the clear", "records who did what", "checked for misses", "watch this server"):
        assert expected in said


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


def test_a_port_that_is_taken_fails(data: Path) -> None:
    """By another program, or by two settings at once."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        (failed,) = fails(doctor(data, "--listen", taken)[1])
        assert failed.startswith(f"ports: listen {taken}")
    assert "both" in fails(doctor(data, "--listen", taken, "--metrics-listen", taken)[1])[0]


def test_a_clock_that_went_back_fails(served: Path) -> None:
    """A database from the future: expiry times would be judged by a wrong clock."""
    tomorrow = time.time() + 86400
    os.utime(served / DATABASE_FILE, (tomorrow, tomorrow))
    assert "the clock went back" in fails(doctor(served)[1])[0]


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    """A folder for `certificate`."""
    folder = tmp_path / "tls"
    folder.mkdir()
    return folder


def test_certificates_are_looked_at(data: Path, tls: Path) -> None:
    """Good for a year; for ten days, which is doubted; expired, and of another key, which fail."""
    code, findings = doctor(data, *certificate(tls, 365))
    assert (code, warnings(findings)) == (0, [])
    assert any("fit together, valid for 365 days" in each["text"] for each in findings)
    code, findings = doctor(data, *certificate(tls, 10))
    assert code == 0
    assert any("valid for 10 days" in each for each in warnings(findings))
    assert "expired" in fails(doctor(data, *certificate(tls, -1))[1])[0]
    options = certificate(tls, 365)
    other = (tls / "server.key").read_bytes()
    certificate(tls, 365)
    (tls / "server.key").write_bytes(other)
    assert "not the key of the certificate" in fails(doctor(data, *options)[1])[0]
    (tls / "server.pem").unlink()
    assert "No such file" in fails(doctor(data, *options)[1])[0]


def test_for_people_it_is_a_line_each(data: Path) -> None:
    """Without --json: level, area, text, and what to do; then a sum."""
    command = [sys.executable, "-m", "gerbang_service.cli", "doctor", "--data", str(data), *TEMPLATES]
    ended = subprocess.run(
        [*command, "--no-encryption"], capture_output=True, text=True, timeout=60, check=False, env={**os.environ}
    )
    assert ended.returncode in (0, 1)
    lines = ended.stdout.splitlines()
    assert (
        "warning configuration: vectors and labels lie on disk in the clear  -> say encryption, with a key_file"
        in lines
    )
    assert lines[-1].endswith("failed")
