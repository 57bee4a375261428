"""Overwriting what SQLite leaves of deleted rows in the free middle of its pages.

With `secure_delete` SQLite overwrites a row that is deleted. But when it shares rows out anew between neighbouring
pages, what was there before may stay in the gap between a page's index of rows and its rows (section 1.6 of
https://www.sqlite.org/fileformat2.html), where no later deletion reaches it: after one deletion in 200 something was
left of who was deleted. So whenever changed pages have come into the database file, their gaps are overwritten, before
anybody is told that somebody was deleted.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

_LOG_HEADER, _FRAME_HEADER = 32, 24
# First byte of a page of rows: inner pages, which have four bytes more in their header, and leaves.
_INNER, _LEAF = (2, 5), (10, 13)
# Of other pages the first bytes are a page's number, which below this can't be taken for one of those.
_MOST_PAGES = 1 << 25
# Kind, rows, and where the content begins.
_PAGE_HEADER = struct.Struct(">B2xHH").unpack_from
# Pages that are read by one call.
_AT_ONCE = 512


def logged_pages(log: Path) -> set[int]:
    """Return the numbers of the pages that are in a write-ahead log, from 1 on."""
    try:
        with log.open("rb") as file:
            page_size = int.from_bytes(file.read(_LOG_HEADER)[8:12], "big")
            end, frame = os.fstat(file.fileno()).st_size, _FRAME_HEADER + page_size
            starts = range(_LOG_HEADER, end, frame) if page_size else range(0)
            return {int.from_bytes(os.pread(file.fileno(), 4, start), "big") for start in starts}
    except FileNotFoundError:
        return set()


def scrub(connection: sqlite3.Connection, file: int, log: Path, pages: Iterable[int] | None = None) -> bool:
    """Overwrite with zeros what is in the gaps of pages (None: of all), and forget what is cached of them.

    `file`: descriptor of the database file, open for writing. To be called when the log was just emptied. Tells whether
    it was done: not when somebody has written since, whose pages may come into the file at any time. Raises OSError,
    and sqlite3.Error.
    """
    # While nobody can write and the log is empty, nothing comes into the file but from here.
    connection.execute("BEGIN IMMEDIATE")
    try:
        if log.exists() and log.stat().st_size:
            return False
        gaps = list(_filled_gaps(file, pages))
        for begin, end in gaps:
            os.pwrite(file, bytes(end - begin), begin)
        if gaps:
            os.fsync(file)
    finally:
        # An error may have ended it, which is then not hidden by another.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    # Or the next change of the page would bring it back.
    connection.execute("PRAGMA shrink_memory")
    return True


def _filled_gaps(file: int, pages: Iterable[int] | None) -> Iterator[tuple[int, int]]:
    """Yield where in the file gaps are that hold anything but zeros."""
    header = os.pread(file, 100, 0)
    size = int.from_bytes(header[16:18], "big")
    size = 65536 if size == 1 else size
    count = os.fstat(file).st_size // size if size else 0
    if count >= _MOST_PAGES:
        raise OSError(0, "the database is too large for what is deleted to be overwritten")
    zeros = bytes(size)
    for first, after in _runs(count, pages):
        # Many pages at once: a call for each takes longer than looking at it.
        block = os.pread(file, (after - first) * size, (first - 1) * size)
        for number in range(first, after):
            start = (number - first) * size
            gap = _gap(block, start, 100 if number == 1 else 0, size)
            if gap is not None and not block.startswith(zeros[: gap[1] - gap[0]], start + gap[0]):
                yield (number - 1) * size + gap[0], (number - 1) * size + gap[1]


def _runs(count: int, pages: Iterable[int] | None) -> Iterator[tuple[int, int]]:
    """Yield the first of some pages and the one after the last, in order. `pages`: None for all up to `count`."""
    if pages is None:
        for first in range(1, count + 1, _AT_ONCE):
            yield first, min(first + _AT_ONCE, count + 1)
    else:
        for number in sorted(pages):
            if 1 <= number <= count:
                yield number, number + 1


def _gap(block: bytes, start: int, at: int, size: int) -> tuple[int, int] | None:
    """Return where in a page the gap is; None for a page of another kind, or one that is cut off.

    `start`: where the page is in the block; `at`: where in the page its header is.
    """
    if len(block) < start + size:
        return None
    kind, rows, content = _PAGE_HEADER(block, start + at)
    if kind not in _INNER and kind not in _LEAF:
        return None
    begin, end = at + (12 if kind in _INNER else 8) + 2 * rows, content or 65536
    return (begin, end) if begin < end <= size else None
