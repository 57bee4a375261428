"""A server was killed and its write-ahead log is damaged: nobody is told that all is well."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gerbang import WatchlistClient
from running import RunningServer, StartRefused
from store.people import DATABASE, TEMPLATES, enrol, gerbang

PEOPLE = 10
HEADER = 32
# With it the server refuses to start when acknowledged changes are missing.
NO_AUDIT = "--no-audit-log"


@pytest.fixture(scope="module")
def killed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a server that was killed when it had acknowledged ten people."""
    data = tmp_path_factory.mktemp("killed") / "data"
    running = RunningServer(data, *TEMPLATES, NO_AUDIT)
    with WatchlistClient(running.address) as office:
        enrol(office, *range(PEOPLE))
    running.kill()
    return data


@pytest.fixture
def killed(killed_once: Path, data: Path) -> Path:
    """A copy of it for one test."""
    return Path(shutil.copytree(killed_once, data))


def flip(data: Path, at: float) -> None:
    """Flip a bit of the log; `at`: a byte, or below 1 a share of its length."""
    log = data / f"{DATABASE}-wal"
    content = bytearray(log.read_bytes())
    assert len(content) > HEADER
    content[int(at * len(content) if 0 < at < 1 else at)] ^= 16
    # Not truncated: a server may have it open.
    with log.open("r+b") as file:
        file.write(content)


@pytest.mark.parametrize(("at", "said"), [(0.5, "finished transactions"), (17, "its header is not")])
def test_check_and_backup_report_it(killed: Path, at: float, said: str) -> None:
    """A bit in the middle of the log, and one in its header: exit code 1, and no backup, as often as they are asked."""
    flip(killed, at)
    for _ in range(2):
        found = gerbang("check", "--data", killed)
        assert found.returncode == 1, found
        assert said in found.stdout
        refused = gerbang("backup", "--data", killed, killed.parent / "copy")
        assert refused.returncode == 3
        assert said in refused.stderr
        assert not (killed.parent / "copy").exists()


def test_log_of_a_kill_is_whole(killed: Path) -> None:
    """An undamaged log, whole or cut by the kill, is no damage."""
    assert gerbang("check", "--data", killed).returncode == 0
    log = killed / f"{DATABASE}-wal"
    log.write_bytes(log.read_bytes()[:-100])
    assert gerbang("check", "--data", killed).returncode == 0
    assert gerbang("backup", "--data", killed, killed.parent / "copy").returncode == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_server_refuses_a_log_without_a_header(killed: Path, workers: str) -> None:
    """It names both ways out; who moves the log away is served without what was in it."""
    flip(killed, 17)
    with pytest.raises(StartRefused) as caught:
        RunningServer(killed, *TEMPLATES, NO_AUDIT, "--workers", workers)
    assert caught.value.returncode == 3
    last = caught.value.stderr.strip().splitlines()[-1]
    assert "restore a backup" in last
    assert "move that file away" in last
    assert (killed / f"{DATABASE}-wal").stat().st_size > 0
    (killed / f"{DATABASE}-wal").rename(killed.parent / "moved")
    with RunningServer(killed, *TEMPLATES, NO_AUDIT) as running, WatchlistClient(running.address) as office:
        assert office.server_info().subject_count < PEOPLE


def test_server_says_that_it_starts_with_less(killed: Path) -> None:
    """A damaged frame: what is before it is served, and CRITICAL is in the log."""
    flip(killed, 0.5)
    with RunningServer(killed, *TEMPLATES, NO_AUDIT) as running, WatchlistClient(running.address) as office:
        assert 0 < office.server_info().subject_count < PEOPLE
        (line,) = (each for each in running.stderr.splitlines() if "CRITICAL" in each)
    assert "finished transactions from there on are not seen" in line


@pytest.mark.parametrize("at", [0.5, 17])
def test_damage_beside_a_running_server_is_reported(data: Path, at: float) -> None:
    """The server goes on, since it reads none of the log, and the next would start with less: unless it is moved."""
    running = RunningServer(data, *TEMPLATES)
    with WatchlistClient(running.address) as office:
        enrol(office, *range(PEOPLE))
        assert gerbang("check", "--data", data).returncode == 0
        flip(data, at)
        found = gerbang("check", "--data", data)
        assert found.returncode == 1
        assert "have it delete a subject" in found.stdout
        enrol(office, PEOPLE)
        office.delete_subject(f"person-{PEOPLE}")
        assert gerbang("check", "--data", data).returncode == 0
    running.kill()
    with RunningServer(data, *TEMPLATES) as after, WatchlistClient(after.address) as office:
        assert office.server_info().subject_count == PEOPLE


def test_database_beside_its_log_is_not_taken_for_a_backup(killed: Path) -> None:
    """`gerbang restore` of a database that has a log beside it would leave out what is in that."""
    refused = gerbang("restore", killed / DATABASE, "--data", killed.parent / "new")
    assert refused.returncode == 3
    assert "gerbang backup --data" in refused.stderr
    assert not (killed.parent / "new").exists()
    assert gerbang("backup", "--data", killed, killed.parent / "copy").returncode == 0
    (killed.parent / "copy-wal").touch()  # an empty one holds nothing
    restored = gerbang("restore", killed.parent / "copy", "--data", killed.parent / "new")
    assert restored.returncode == 0, restored.stderr


@pytest.mark.parametrize("command", ["token list", "token create", "key rotate"])
def test_commands_that_open_the_database_leave_a_damaged_log_alone(killed: Path, tmp_path: Path, command: str) -> None:
    """Closing it, SQLite would move what it sees of the log into the database, and delete the rest."""
    flip(killed, 0.5)
    log = killed / f"{DATABASE}-wal"
    before = log.read_bytes()
    assert gerbang("key", "create", tmp_path / "new.key").returncode == 0
    more: dict[str, list[str | Path]] = {
        "token create": ["--role", "gate"],
        "key rotate": ["--new-key-file", tmp_path / "new.key"],
    }
    done = gerbang(*command.split(), "--data", killed, *more.get(command, []))
    assert done.returncode == 3
    assert "not as it was written" in done.stderr
    assert log.read_bytes() == before
