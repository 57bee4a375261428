"""A backup is of one moment, whole and encrypted, and a data folder made of it is served."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from gerbang import CounterClient, WatchlistClient
from gerbang_service.store.sealing.keys import create_key_file
from running import RunningServer
from store.people import DATABASE, TEMPLATES, bytes_of, enrol, gerbang, secret, traces, unit, with_a_flipped_bit


def test_backup_under_writes_is_of_one_moment(data: Path, tmp_path: Path) -> None:
    """Copied while people are enrolled one after the other: whoever was acknowledged before is in it, with all values.

    Nobody in it is without a predecessor: it holds the first so many people, and the revision that they make.
    """
    copies = [tmp_path / f"backup-{number}" for number in range(3)]
    done, stop = [0], threading.Event()

    def write(office: WatchlistClient) -> None:
        while not stop.is_set():
            enrol(office, done[0])
            done[0] += 1

    acknowledged = []
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        thread = threading.Thread(target=write, args=(office,))
        thread.start()
        try:
            for copy in copies:
                acknowledged.append(done[0])
                made = gerbang("backup", "--data", data, copy)
                assert made.returncode == 0, made.stderr
        finally:
            stop.set()
            thread.join()
    assert acknowledged[2] > acknowledged[1] > acknowledged[0]
    for copy, before in zip(copies, acknowledged, strict=True):
        folder = tmp_path / f"of-{copy.name}"
        assert gerbang("restore", copy, "--data", folder).returncode == 0
        with RunningServer(folder, *TEMPLATES) as running, WatchlistClient(running.address) as office:
            info = office.server_info()
            assert before <= info.subject_count <= done[0]
            assert info.revision == info.subject_count
            names = {each.subject_id for each in office.list_subjects()}
            assert names == {f"person-{seed}" for seed in range(info.subject_count)}
            last = info.subject_count - 1
            assert office.get_subject(f"person-{last}").labels == {"case": secret(last)}
            with CounterClient(running.address) as counter:
                assert counter.verify(unit(last), subject_id=f"person-{last}").match


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> Path:
    """A backup of five people."""
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        enrol(office, *range(5))
        assert gerbang("backup", "--data", data, tmp_path / "backup").returncode == 0
    return tmp_path / "backup"


def test_backup_is_its_owners_and_says_nothing_of_anybody(copy: Path) -> None:
    """The file is 0600, of nobody anything is to be found in it, and nothing else is left beside it."""
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert not traces(copy, *bytes_of(1), *bytes_of(4))
    assert [each.name for each in copy.parent.iterdir() if "part" in each.name] == []


def test_nothing_is_overwritten(data: Path, copy: Path, tmp_path: Path) -> None:
    """Neither a file by a backup nor a folder with anything in it by a restore."""
    before = copy.read_bytes()
    again = gerbang("backup", "--data", data, copy)
    assert again.returncode == 3
    assert "nothing is overwritten" in again.stderr
    assert copy.read_bytes() == before
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for folder in (tmp_path / "full", data):
        refused = gerbang("restore", copy, "--data", folder)
        assert refused.returncode == 3
        assert "is not empty" in refused.stderr
    (tmp_path / "empty").mkdir()
    assert gerbang("restore", copy, "--data", tmp_path / "empty").returncode == 0


def test_damaged_backup_is_not_restored(copy: Path, tmp_path: Path) -> None:
    """A backup of which a bit flipped, or the end is missing, is refused, and no folder is made of it."""
    whole = copy.read_bytes()
    for content in (with_a_flipped_bit(copy), whole[: len(whole) // 2], b""):
        copy.write_bytes(content)
        refused = gerbang("restore", copy, "--data", tmp_path / "new")
        assert refused.returncode == 3, content[:20]
        assert not (tmp_path / "new" / DATABASE).exists()


def test_a_restore_that_failed_can_be_made_again(copy: Path, tmp_path: Path) -> None:
    """What one leaves that was killed, or found no room, is no reason to refuse; what is no restore's is."""
    new = tmp_path / "new"
    new.mkdir()
    (new / "RESTORED").touch()
    (new / f".{DATABASE}.4711.part").write_bytes(b"half")
    done = gerbang("restore", copy, "--data", new)
    assert done.returncode == 0, done.stderr
    assert not list(new.glob(".*.part"))
    assert gerbang("restore", copy, "--data", new).returncode == 3


def test_restore_needs_the_key(copy: Path, tmp_path: Path) -> None:
    """What can't be verified is not restored: without the key, or with another, it is refused and the key named."""
    create_key_file(tmp_path / "other.key")
    for key, options in ((None, ()), (None, ("--key-file", str(tmp_path / "other.key")))):
        refused = gerbang("restore", copy, "--data", tmp_path / "new", *options, key=key)
        assert refused.returncode == 3
        assert "key" in refused.stderr
        assert not (tmp_path / "new").exists()


def test_backup_without_the_key_says_what_was_not_checked(data: Path, copy: Path, tmp_path: Path) -> None:
    """Who makes backups need not have the key; the copy is the same, and what was not checked is said."""
    made = gerbang("backup", "--data", data, tmp_path / "second", key=None)
    assert made.returncode == 0, made.stderr
    assert "not checked" in made.stdout
    assert gerbang("restore", tmp_path / "second", "--data", tmp_path / "new").returncode == 0
    assert copy.exists()


def test_damaged_database_is_not_backed_up(data: Path, copy: Path, tmp_path: Path) -> None:
    """A vector that was changed is found by the backup, which then is not there to be trusted."""
    (data / DATABASE).write_bytes(with_a_flipped_bit(data / DATABASE))
    refused = gerbang("backup", "--data", data, tmp_path / "second")
    assert refused.returncode == 3
    assert "damaged" in refused.stderr
    assert not (tmp_path / "second").exists()
    assert copy.exists()
