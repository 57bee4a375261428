"""Making data folders."""

from __future__ import annotations

from pathlib import Path

from gerbang_service.audit.files import sync_folder


def make_folder(folder: Path) -> None:
    """Make a folder, if it is not there, that only its owner can enter, and return when it is on the disk.

    Its parents as well. May be called by any thread. Raises OSError.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)
