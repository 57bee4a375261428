"""JPEG: scans, segments, and what is between them (ISO/IEC 10918-1 annex B)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gerbang_service.domain.errors import ImageTooLarge, ImageUnreadable

# Encoders make 1 to 20; jpegtran's most elaborate scripts some more.
MAX_SCANS: Final = 40
# A colour profile has 255 at most, and ten megabytes of anything 160. Pillow takes each of them apart in Python.
MAX_SEGMENTS: Final = 1000
# Bytes before the first scan: in segments that are neither application data nor comments, and in none. Tables for all
# components and a frame header have less than 4 kB; of fill and of what is no marker, files have next to nothing.
MAX_TABLES: Final = 65_536
MAX_LOOSE: Final = 65_536

# FF before a marker may be repeated (B.1.1.2); FF 00 is none.
_MARKER: Final = re.compile(rb"\xff[^\x00\xff]")
# After FF in a scan's data comes 00, or a restart marker, or more FF, before the marker that ends it.
_SCAN_END: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SOS, _EOI = 0xDA, 0xD9
# Application data and comments, of any length.
_FREE: Final = frozenset((*range(0xE0, 0xF0), 0xFE))
# Markers that Pillow, or libjpeg, takes for no segment's.
_ALONE: Final = frozenset((*range(0xC0), 0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)))


def check_jpeg(data: bytes) -> None:
    """Raise ImageTooLarge for too many scans or segments, or too long tables; ImageUnreadable for rubbish between."""
    # Cheap, and nearly always enough: there can't be more scans than this says.
    only_head = data.count(b"\xff\xda") <= MAX_SCANS
    scans = tables = loose = 0
    for number, (marker, length, skipped) in enumerate(_segments(data), 1):
        if number > MAX_SEGMENTS:
            raise ImageTooLarge(f"the image has more than {MAX_SEGMENTS} segments", limit=MAX_SEGMENTS)
        if not scans:
            loose += skipped
            tables += 0 if marker in _FREE else length
            _check_head(tables, loose, len(data))
        if marker == _SOS:
            scans += 1
            if scans > MAX_SCANS:
                raise ImageTooLarge(f"the image has more than {MAX_SCANS} scans", limit=MAX_SCANS)
        if scans and (only_head or marker == _EOI):
            return


def _check_head(tables: int, loose: int, length: int) -> None:
    if tables > MAX_TABLES:
        raise ImageTooLarge(f"the image has more than {MAX_TABLES} bytes of tables", limit=MAX_TABLES)
    if loose > MAX_LOOSE:
        raise ImageUnreadable(f"the image has more than {MAX_LOOSE} bytes between its segments", bytes=length)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield each marker, how long its segment is, and how many bytes were skipped to it; then those to the end."""
    at, until = 2, _MARKER
    while found := until.search(data, at):
        marker = found[0][1]
        length = 0 if marker in _ALONE else max(2, int.from_bytes(data[found.end() : found.end() + 2]))
        yield marker, length, found.start() - at
        at, until = found.end() + length, _SCAN_END if marker == _SOS else _MARKER
    yield _EOI, 0, max(0, len(data) - at)
