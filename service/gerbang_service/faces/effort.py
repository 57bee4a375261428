"""What an image file would cost to decode beyond its pixels, read from its structure before a decoder sees it.

Both formats can ask for hours or gigabytes in a few kilobytes: a JPEG passes over all its pixels once a scan, and a
JPEG 2000 codestream may be cut into millions of precincts and code-blocks, each with its own bookkeeping.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gerbang_service.domain.errors import ImageTooLarge, ImageUnreadable

# Encoders make 1 to 20; jpegtran's most elaborate scripts some more.
MAX_SCANS: Final = 40
# Ordinary files of 25 megapixels have half of it at most (code-blocks of 32 x 32 in three components).
MAX_BLOCKS: Final = 200_000
MAX_TILE_PARTS: Final = 16_384

# After FF in a scan's data comes 00, or a restart marker, or more FF, before the marker that ends it.
_SCAN_END: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SOS, _EOI = 0xDA, 0xD9
_SOC, _SIZ, _COD, _COC, _SOT, _SOD, _EOC = 0xFF4F, 0xFF51, 0xFF52, 0xFF53, 0xFF90, 0xFF93, 0xFFD9


def check_jpeg(data: bytes) -> None:
    """Raise ImageTooLarge for a JPEG of too many scans."""
    # Cheap, and nearly always enough: there can't be more than this says.
    if data.count(b"\xff\xda") <= MAX_SCANS:
        return
    scans = 0
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            at += 1  # as decoders do, which look for the next marker
            continue
        marker = data[at + 1]
        if marker in {0xFF, 0x00, 0x01} or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == _EOI:
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker == _SOS:
            scans += 1
            if scans > MAX_SCANS:
                raise ImageTooLarge(f"the image has more than {MAX_SCANS} scans", limit=MAX_SCANS)
            end = _SCAN_END.search(data, at)
            if end is None:
                return
            at = end.start()


def check_jpeg_2000(data: bytes, max_pixels: int) -> None:
    """Raise ImageTooLarge for a codestream of too many pixels, tile parts or blocks; ImageUnreadable for a broken one.

    `data`: a JP2 file, or a codestream alone.
    """
    try:
        _check_codestream(data, _codestream_at(data), max_pixels)
    except (struct.error, IndexError):
        raise ImageUnreadable("the JPEG 2000 codestream breaks off", bytes=len(data)) from None


@dataclass(frozen=True, slots=True)
class _Size:
    width: int
    height: int
    tiles: int
    components: int


def _codestream_at(data: bytes) -> int:
    """Return where the codestream begins."""
    if data[:2] == b"\xff\x4f":
        return 0
    at = 0
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        if kind == b"jp2c":
            return at + head
        if length < head:
            break
        at += length
    raise ImageUnreadable("a JPEG 2000 file without a codestream", bytes=len(data))


def _check_codestream(data: bytes, at: int, max_pixels: int) -> None:
    if struct.unpack_from(">HH", data, at) != (_SOC, _SIZ):
        raise ImageUnreadable("a JPEG 2000 codestream that does not begin as one")
    size = _size(data, at + 6)
    pixels = size.width * size.height
    if pixels > max_pixels or size.tiles > MAX_TILE_PARTS:
        raise ImageTooLarge(
            f"the image has {pixels} pixels in {size.tiles} tiles, the limits are {max_pixels} and {MAX_TILE_PARTS}",
            width=size.width,
            height=size.height,
            limit=max_pixels,
        )
    for begin in _coding_styles(data, at + 2):
        blocks = _blocks(data, begin, size)
        if blocks > MAX_BLOCKS:
            raise ImageTooLarge(
                f"the image is coded in {blocks} blocks and packets, the limit is {MAX_BLOCKS}", limit=MAX_BLOCKS
            )


def _size(data: bytes, at: int) -> _Size:
    _, right, bottom, left, top, across, down, tile_left, tile_top, components = struct.unpack_from(
        ">HIIIIIIIIH", data, at
    )
    if right <= left or bottom <= top or not across or not down or not components:
        raise ImageUnreadable("a JPEG 2000 codestream of an empty image")
    tiles = _over(right - tile_left, across) * _over(bottom - tile_top, down)
    return _Size(right - left, bottom - top, tiles, components)


def _coding_styles(data: bytes, at: int) -> Iterator[int]:
    """Yield where each COD and COC segment begins, in the main header and those of all tile parts."""
    parts = 0
    next_part = None
    while True:
        (marker,) = struct.unpack_from(">H", data, at)
        if marker == _EOC:
            return
        if marker == _SOD:
            # The data of a tile part, up to the next.
            if not next_part or next_part >= len(data):
                return
            at, next_part = next_part, None
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if length < 2 or marker < 0xFF00:
            raise ImageUnreadable("a JPEG 2000 codestream of broken structure")
        if marker in {_COD, _COC}:
            yield at
        if marker == _SOT:
            parts += 1
            if parts > MAX_TILE_PARTS:
                raise ImageTooLarge(f"the image has more than {MAX_TILE_PARTS} tile parts", limit=MAX_TILE_PARTS)
            (part,) = struct.unpack_from(">I", data, at + 6)
            if part and part < 14:
                raise ImageUnreadable("a JPEG 2000 codestream of broken structure")
            next_part = at + part if part else None
        at += 2 + length


def _blocks(data: bytes, at: int, size: _Size) -> int:
    """Return how many code-blocks and packets an image has that is coded as a COD or COC segment says."""
    marker, length = struct.unpack_from(">HH", data, at)
    if marker == _COD:
        style, _, layers, _ = struct.unpack_from(">BBHB", data, at + 4)
        own = at + 9
    else:
        # For one component; its number has two bytes if there are more than 256. Layers are those of the COD.
        wide = size.components > 256
        style, layers, own = data[at + 5 + wide], 1, at + 6 + wide
    levels, block_width, block_height = struct.unpack_from(">BBB", data, own)
    if levels > 32:
        raise ImageUnreadable("a JPEG 2000 codestream of too many levels")
    precincts = data[own + 5 : at + 2 + length] if style & 1 else b"\xff" * (levels + 1)
    if len(precincts) <= levels:
        raise ImageUnreadable("a JPEG 2000 codestream of broken structure")
    total = 0
    for level in range(levels + 1):
        scale = 2 ** (levels - level)
        width, height = _over(size.width, scale), _over(size.height, scale)
        across, down = precincts[level] & 15, precincts[level] >> 4
        # A tile has one at least.
        packets = _over(width, 2**across) * _over(height, 2**down) + size.tiles
        # Above the lowest, a level has three bands of half its size, and precincts halve with them.
        half = int(level > 0)
        wide = 2 ** max(0, min(block_width + 2, across - half))
        high = 2 ** max(0, min(block_height + 2, down - half))
        blocks = (1 + 2 * half) * (_over(width, wide << half) + 1) * (_over(height, high << half) + 1)
        total += size.components * (blocks + packets * layers)
    return total


def _over(size: int, by: int) -> int:
    return -(-size // by)
