"""The vectors of a gallery in the memory of a server's processes, as the kernel shows it to who may look."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from gerbang_service.gallery.reserved import MOST_ROWS

_HEAD = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p ")


@dataclass(frozen=True, slots=True)
class Vectors:
    """Where a process has them.

    `pss`: of them and the other columns, bytes, each page divided by the number of processes that share it.
    """

    pid: int
    begin: int
    pss: int

    def hold(self, vector: bytes, rows: int) -> bool:
        """Tell whether a vector is among the first rows, float32."""
        with Path(f"/proc/{self.pid}/mem").open("rb") as memory:
            memory.seek(self.begin)
            return vector in memory.read(rows * len(vector))


def vectors_of(pid: int, dimension: int) -> Vectors:
    """Return where a process has its vectors; skips the test where that may not be looked at."""
    try:
        lines = Path(f"/proc/{pid}/smaps").read_text().splitlines()
    except PermissionError:
        pytest.skip("the memory of other processes may not be looked at here (CAP_SYS_PTRACE)")
    begin, reserved = None, MOST_ROWS * dimension * 4
    for line in lines:
        if head := _HEAD.match(line):
            first, last = (int(each, 16) for each in head.groups())
            # The kernel joins it with the columns that are reserved next, which come to lie before it.
            begin = last - reserved if last - first >= reserved else None
        elif begin is not None and line.startswith("Pss:"):
            return Vectors(pid, begin, int(line.split()[1]) * 1024)
    raise AssertionError(f"process {pid} has no such mapping")
