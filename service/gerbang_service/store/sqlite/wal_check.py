"""Whether SQLite would read all of a write-ahead log.

SQLite takes the first frame that is not as it was written for the end of its log, and a log with such a header for an
empty one. After a kill that is right: what was being written then was acknowledged to nobody. But when a disk gives
back other bytes than were written, whatever was acknowledged after them is gone, and SQLite says nothing. So the log is
read here as well, before SQLite has it, and it is looked whether anything finished is behind its seeming end.

The format is that of https://www.sqlite.org/fileformat2.html, section 4: a header, then frames of a header and a page
each. The checksum of a frame goes on from that of the frame before. It is linear modulo 2^32, with Fibonacci's numbers
as coefficients, so that the checksums of many frames are one product of matrices.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.errors import StartupError
from gerbang_service.store.sqlite.connection import has_server, nobody_writing

_Words = NDArray[np.uint32]

_HEADER_BYTES, _FRAME_HEADER_BYTES, _WORD_BYTES = 32, 24, 4
# Of each of two copies at the beginning of the index.
_INDEX_BYTES = 48
# By the order of the bytes in the words that checksums are of; all else is big-endian.
_MAGIC: Final = {0x377F0682: "<u4", 0x377F0683: ">u4"}
_PAGE_SIZES: Final = {1 << power for power in range(9, 17)}
# Read at once, bytes.
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class LogDamage:
    """What SQLite would pass over without a word.

    `frame`: the first that is not as it was written, from 1, or 0 for the log's header: then it sees nothing of the
    log. `unseen`: how many finished transactions it does not see from that frame on, as far as that can be told.
    `served`: a server runs that does see them, since it has read none of the log.
    """

    log: Path
    frame: int = 0
    unseen: int = 0
    served: bool = False

    @property
    def certain(self) -> bool:
        """Whether nothing but damage leaves this: a header is on the disk before anything follows it."""
        return self.frame == 0

    def __str__(self) -> str:
        if self.certain:
            place, lost = "its header is", "none of the changes in it are"
        else:
            place, lost = f"frame {self.frame} is", f"{self.unseen} finished transactions from there on are not"
        text = f"write-ahead log {self.log}: {place} not as it was written, and {lost} seen"
        if self.served:
            return (
                f"{text} by the next server. The one that runs has them: before it ends, have it delete a subject, "
                "upon which it moves the log into the database"
            )
        if self.certain:
            return text
        return (
            f"{text}: the log is damaged, or they were never acknowledged, since the disk failed while they were "
            "written or the power did"
        )


def log_damage(database: Path, *, owned: bool = False) -> LogDamage | None:
    """Return what SQLite would not see of a database's log; None when that is nothing that was ever finished.

    To be called before this process opens a connection, which may begin the log anew, and would lose its locks by what
    is opened and closed here. A server may run meanwhile, unless the folder is `owned` by this process. May be called
    by any thread. Raises OSError.
    """
    log = database.with_name(f"{database.name}-wal")
    if _look(log) is None:
        return None
    # Again, since what is being written just now is not whole either.
    with nobody_writing(database.parent):
        damage = _look(log)
        if damage is None or owned or not has_server(database.parent):
            return damage
        # What a server was told had failed stays in the log until it is overwritten.
        return replace(damage, served=True) if damage.frame <= _committed(database) else None


def refuse_damaged(database: Path) -> None:
    """Raise StartupError when `log_damage` finds something: who opens the database to write would make it final."""
    if (damage := log_damage(database)) is not None:
        raise StartupError(f"{damage}; nothing was changed")


def _committed(database: Path) -> float:
    """Return how many frames of the log a running server has committed; infinity when that can't be told.

    That is in SQLite's index of the log (https://www.sqlite.org/walformat.html, section 2.1), in the order of bytes of
    this machine. Without a server it may be of any age.
    """
    try:
        with database.with_name(f"{database.name}-shm").open("rb") as index:
            header = index.read(2 * _INDEX_BYTES)
    except FileNotFoundError:
        return math.inf  # it has just started
    whole = len(header) == 2 * _INDEX_BYTES and header[:_INDEX_BYTES] == header[_INDEX_BYTES:]
    return int(np.frombuffer(header, np.uint32)[4]) if whole else math.inf


@dataclass(frozen=True, slots=True)
class _Header:
    page_size: int
    word: str
    salts: _Words
    checksum: _Words


def _look(log: Path) -> LogDamage | None:
    try:
        file = log.open("rb")
    except FileNotFoundError:
        return None
    with file:
        # Of what a server appends meanwhile nothing is read.
        size = os.fstat(file.fileno()).st_size
        if size <= _HEADER_BYTES:
            return None
        header = _header(file.read(_HEADER_BYTES))
        if header is None:
            return LogDamage(log)
        frame, unseen = _unseen(file, size, header)
    return LogDamage(log, frame, unseen) if unseen else None


def _header(content: bytes) -> _Header | None:
    """Take a log's header apart; None when SQLite would not accept it."""
    if len(content) < _HEADER_BYTES:
        return None
    magic, _, page_size, _, *ends = (int(each) for each in np.frombuffer(content, ">u4"))
    if magic not in _MAGIC or page_size not in _PAGE_SIZES:
        return None
    salts, checksum = np.array(ends[:2], np.uint32), np.array(ends[2:], np.uint32)
    words = np.frombuffer(content[:-8], _MAGIC[magic]).astype(np.uint32)
    if not np.array_equal(words @ _weights(len(words)), checksum):
        return None
    return _Header(page_size, _MAGIC[magic], salts, checksum)


def _unseen(file: BinaryIO, size: int, header: _Header) -> tuple[int, int]:
    """Return the frame that SQLite would stop at, 0 for none, and how many commits of this log are from there on."""
    stop = unseen = done = 0
    before = header.checksum
    carry = _carry(2 + header.page_size // _WORD_BYTES)
    for heads, sums in _frames(file, size, header):
        pages, commits, checksums = heads[:, 0], heads[:, 1], heads[:, 4:]
        # Others are left of what was in the file before the log was begun anew.
        ours = (heads[:, 2:4] == header.salts).all(axis=1)
        since = 0
        if not stop:
            right = (sums + np.vstack((before, checksums[:-1])) @ carry == checksums).all(axis=1)
            sound = right & ours & (pages != 0)
            before = checksums[-1]
            since = int(np.argmin(sound)) if not sound.all() else len(sound)
            if since < len(sound):
                stop = done + since + 1
                # Salts are not in the checksum: what is right but for them is of this log.
                ours[since] |= right[since]
        unseen += int(np.count_nonzero(ours[since:] & (commits[since:] != 0)))
        done += len(heads)
    return stop, unseen


def _frames(file: BinaryIO, size: int, header: _Header) -> Iterator[tuple[_Words, _Words]]:
    """Yield, of some frames at a time, the words of their headers, and what each adds to the checksum before it."""
    length = _FRAME_HEADER_BYTES + header.page_size
    words = _FRAME_HEADER_BYTES // _WORD_BYTES
    # Of its header a frame's checksum is of the first two words alone.
    weights = np.insert(_weights(2 + header.page_size // _WORD_BYTES), 2, np.zeros((words - 2, 2)), axis=0)
    left = (size - _HEADER_BYTES) // length
    while left:
        piece = file.read(length * min(left, max(1, _PIECE // length)))
        count = len(piece) // length
        if not count:
            return  # a server has emptied it
        frames = np.frombuffer(piece[: count * length], np.uint8).reshape(count, length)
        heads = np.ascontiguousarray(frames[:, :_FRAME_HEADER_BYTES]).view(">u4").astype(np.uint32)
        yield heads, frames.view(header.word).astype(np.uint32, copy=False) @ weights
        left -= count


def _weights(count: int) -> _Words:
    """Return how often each of so many words is in the two halves of their checksum."""
    numbers = _fibonacci(count)
    return np.stack((numbers[count - 1 :: -1], numbers[count:0:-1]), axis=1)


def _carry(count: int) -> _Words:
    """Return how often the two halves of a checksum are in those of one that goes on for so many words."""
    numbers = _fibonacci(count)
    return numbers[[[count - 1, count], [count, count + 1]]]


@cache
def _fibonacci(count: int) -> _Words:
    """Return Fibonacci's numbers 0 to count + 1, modulo 2^32."""
    numbers = [0, 1]
    while len(numbers) < count + 2:
        numbers.append((numbers[-1] + numbers[-2]) & 0xFFFFFFFF)
    return np.array(numbers, np.uint32)
