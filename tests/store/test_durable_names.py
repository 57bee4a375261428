"""A new file is on the disk when its name is too: after a power cut nothing that was made is gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gerbang_service.store.sealing.keys import create_key_file
from gerbang_service.store.sqlite.backup import backup, restore
from gerbang_service.store.sqlite.data_folder import DataFolder
from running import operator_key


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """What this process has made durable since."""
    paths: set[Path] = set()
    fsync = os.fsync

    def note(file: int) -> None:
        fsync(file)
        paths.add(Path(f"/proc/self/fd/{file}").readlink())

    monkeypatch.setattr("os.fsync", note)
    return paths


def test_folder_of_a_new_key_is_synced(tmp_path: Path, synced: set[Path]) -> None:
    """The key without which nothing can be read is there when its id was printed."""
    create_key_file(tmp_path / "gerbang.key")
    assert synced == {tmp_path, tmp_path / "gerbang.key"}


def test_folders_of_new_data_are_synced(tmp_path: Path, synced: set[Path]) -> None:
    """The data folder, and whatever above it was made with it; of a backup too, and of what is restored from it."""
    DataFolder(tmp_path / "new" / "data", operator_key()).close()
    assert synced >= {tmp_path, tmp_path / "new", tmp_path / "new" / "data"}
    synced.clear()
    backup(tmp_path / "new" / "data", tmp_path / "copy", operator_key())
    assert tmp_path in synced
    synced.clear()
    restore(tmp_path / "copy", tmp_path / "restored" / "data", operator_key())
    assert synced >= {tmp_path, tmp_path / "restored", tmp_path / "restored" / "data"}
