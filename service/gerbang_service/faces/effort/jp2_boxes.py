"""JP2: the boxes around a JPEG 2000 codestream (ISO/IEC 15444-1 annex I)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import count
from typing import Final

from gerbang_service.domain.errors import ImageTooLarge, ImageUnreadable

# Ordinary files have ten.
MAX_BOXES: Final = 1000


def codestream_at(data: bytes) -> int:
    """Return where the codestream begins in a JP2 file or a codestream alone.

    Raises ImageTooLarge for too many boxes before it; ImageUnreadable if there is none, or more than one palette,
    which Pillow unpacks in Python; struct.error if a box breaks off.
    """
    if data.startswith(b"\xff\x4f"):
        return 0
    numbers = count(1)
    for kind, begin, end in _boxes(data, 0, len(data), numbers):
        if kind == b"jp2c":
            return begin
        if kind == b"jp2h":
            _check_header(data, begin, end, numbers)
    raise ImageUnreadable("a JPEG 2000 file without a codestream", bytes=len(data))


def _check_header(data: bytes, begin: int, end: int, numbers: Iterator[int]) -> None:
    palettes = 0
    for kind, inner, inner_end in _boxes(data, begin, end, numbers):
        palettes += kind == b"pclr"
        if palettes > 1:
            raise ImageUnreadable("a JPEG 2000 file of more than one palette", bytes=len(data))
        if kind == b"res ":
            for _ in _boxes(data, inner, inner_end, numbers):
                pass  # they count


def _boxes(data: bytes, at: int, end: int, numbers: Iterator[int]) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box, and where its content begins and ends. `numbers`: of boxes, over all levels."""
    while at < end:
        if next(numbers) > MAX_BOXES:
            raise ImageTooLarge(f"the image has more than {MAX_BOXES} boxes", limit=MAX_BOXES)
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        elif length == 0:
            length = end - at  # to the end, if it is the last (I.4)
        if length < head:
            raise ImageUnreadable("a JPEG 2000 file of broken structure", bytes=len(data))
        yield kind, at + head, min(at + length, end)
        at += length
