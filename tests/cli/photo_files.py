"""Files with the names of photos."""

from __future__ import annotations

from pathlib import Path


def photos(folder: Path, *names: str) -> Path:
    """Make files of these names, each with another content."""
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    return folder
