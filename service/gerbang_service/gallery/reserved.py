"""Columns that grow without being copied.

A column reserves address space for far more rows than there are; the system gives it memory page by page as rows are
filled. So a large gallery never stands still while gigabytes are copied, and never needs twice its memory.
"""

from __future__ import annotations

import math
import mmap
import sys
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)

MOST_ROWS = 2**27
"""Rows that are reserved for: 134 million, 256 GiB of addresses for templates of 512 dimensions."""
# Linux's MAP_NORESERVE, which Python 3.11 has no name for: addresses that no memory is promised for.
_NO_RESERVE = 0x4000 if sys.platform == "linux" else 0


def reserved(dtype: type[Scalar], least: int, width: tuple[int, ...] = (), most: int | None = None) -> NDArray[Scalar]:
    """Return a column of zeros, (rows, *width), with `most` rows; None: MOST_ROWS.

    Where addresses are limited (`ulimit -v`, strict overcommit) it has twice `least`, or just these, so that something
    is left for others; a table that outgrows them is copied. Raises MemoryError when not even `least` rows fit.
    """
    row = np.dtype(dtype).itemsize * math.prod(width)
    for rows in (max(MOST_ROWS if most is None else most, least), 2 * least, least):
        try:
            block = mmap.mmap(-1, rows * row, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE)
        except (OSError, ValueError, OverflowError):
            continue
        return np.frombuffer(block, dtype).reshape(rows, *width)
    raise MemoryError(f"{least * row} bytes of addresses can't be had")


def regrown(column: NDArray[Any], filled: int, least: int) -> NDArray[Any]:
    """Return a longer column with the first `filled` rows of this one: a copy, for where too few were reserved."""
    longer = reserved(column.dtype.type, least, column.shape[1:])
    longer[:filled] = column[:filled]
    return longer
