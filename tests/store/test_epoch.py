"""The epoch tells a client that revisions began anew: it is another one after a restore, and the same otherwise."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gerbang import WatchlistClient
from running import RunningServer, StartRefused
from store.people import DATABASE, TEMPLATES, enrol, gerbang


def epoch(data: Path, *options: str) -> str:
    """Serve a folder, enrol somebody, and return what the server calls its epoch."""
    with RunningServer(data, *TEMPLATES, *options) as running, WatchlistClient(running.address) as office:
        told: str = office.server_info().epoch
        office.enroll("", [[1.0] * 64])
        assert office.server_info().epoch == told
        return told


def test_the_epoch_stays_until_a_backup_is_restored(tmp_path: Path) -> None:
    """Revisions go on after a restart, and are given out again after a restore: that is another history."""
    data, copy, restored = tmp_path / "data", tmp_path / "copy", tmp_path / "restored"
    first = epoch(data)
    assert len(first) == 32
    assert epoch(data) == first
    for command in (("backup", "--data", data, copy), ("restore", copy, "--data", restored)):
        done = gerbang(*command)
        assert done.returncode == 0, done.stderr
    second = epoch(restored)
    assert second != first
    assert epoch(restored) == second
    assert epoch(data) == first


def test_every_new_folder_has_its_own(tmp_path: Path) -> None:
    """Also one in the clear, and one that several workers serve, who say the same."""
    epochs = {epoch(tmp_path / "one"), epoch(tmp_path / "clear", "--no-encryption")}
    with RunningServer(tmp_path / "many", *TEMPLATES, "--workers", "2") as running:
        told = set()
        for _ in range(8):
            options = [("grpc.use_local_subchannel_pool", 1)]
            with WatchlistClient(running.address, options=options) as office:
                told.add(office.server_info().epoch)
    assert len(told) == 1
    assert len(epochs | told) == 3


def test_an_epoch_that_was_changed_in_the_file_is_noticed(tmp_path: Path) -> None:
    """Sealed as the revision is: who can write the file can't hide from clients that it is an older one."""
    data = tmp_path / "data"
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        enrol(office, 1)
    with closing(sqlite3.connect(data / DATABASE)) as connection:
        connection.execute("UPDATE meta SET value = 'another' WHERE key = 'epoch'")
        connection.commit()
    with pytest.raises(StartRefused, match="meta"):
        RunningServer(data, *TEMPLATES)
