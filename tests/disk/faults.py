"""A disk that fails on demand, under a real server: a library that is compiled and preloaded.

The processes that tests fork (forked.py) have it, too; in them it wakes when it is in their environment.
"""

from __future__ import annotations

import atexit
import mmap
import shutil
import struct
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import pytest

_FIELDS: Final = (
    "write_error",
    "sync_error",
    "sync_chance",
    "lose",
    "space",
    "failed",
    "lost",
    "database_only",
    "hang",
)
_SOURCE: Final = Path(__file__).with_name("faulty_disk.c")


@cache
def library() -> Path | None:
    """Compile the library, once; None where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    made = Path(mkdtemp(prefix="faulty-disk-")) / "faulty_disk.so"
    atexit.register(shutil.rmtree, made.parent)
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-Wall", "-o", made, _SOURCE, "-ldl"], check=True)
    return made


class FaultyDisk:
    """The disk under one folder. `env` goes to the server; the other attributes are faulty_disk.c's `control`."""

    def __init__(self, folder: Path) -> None:
        preloaded = library()
        if preloaded is None:
            pytest.skip("needs a C compiler, to make a disk that fails")
        control = folder.with_name(f"{folder.name}.faults")
        control.write_bytes(bytes(8 * len(_FIELDS)))
        with control.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self.set(space=-1, sync_chance=1000)
        self.env = {
            "LD_PRELOAD": str(preloaded),
            "FAULTY_CONTROL": str(control),
            "FAULTY_FOLDER": str(folder.resolve()),
        }

    def set(self, **values: int) -> None:
        """Set fields of the control."""
        for name, value in values.items():
            struct.pack_into("<q", self._map, 8 * _FIELDS.index(name), value)

    def mend(self) -> None:
        """Let everything work again."""
        self.set(write_error=0, sync_error=0, space=-1, lose=0, database_only=0, hang=0)

    def get(self, name: str) -> int:
        """Return a field of the control."""
        value: int = struct.unpack_from("<q", self._map, 8 * _FIELDS.index(name))[0]
        return value
