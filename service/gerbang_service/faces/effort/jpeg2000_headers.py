"""JPEG 2000: what the headers of a codestream and of its tile parts say (ISO/IEC 15444-1 annex A)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gerbang_service.domain.errors import ImageTooLarge, ImageUnreadable

MAX_TILE_PARTS: Final = 16_384
# In the main header and those of all tile parts.
MAX_SEGMENTS: Final = 50_000
# Ordinary files have one, or one for each component.
MAX_STYLES: Final = 1000

_SOC, _SIZ, _COD, _COC, _POC, _SOT, _SOD, _EOC = 0xFF4F, 0xFF51, 0xFF52, 0xFF53, 0xFF5F, 0xFF90, 0xFF93, 0xFFD9
# Segments that have a length, of part 1 and of part 2 as far as OpenJPEG reads it. At others it looks for the next
# marker that it knows, within the segment too, where this would not have seen it.
_SEGMENTS: Final = frozenset(
    {
        *(_COD, _COC, _POC, _SOT),
        *(0xFF50, 0xFF55, 0xFF57, 0xFF58, 0xFF59, 0xFF5C, 0xFF5D, 0xFF5E),  # CAP TLM PLM PLT CPF QCD QCC RGN
        *(0xFF60, 0xFF61, 0xFF63, 0xFF64, 0xFF74, 0xFF75, 0xFF77, 0xFF78),  # PPM PPT CRG COM MCT MCC MCO CBD
    }
)
# A tile part's segment SOT, the marker included, and the marker SOD.
_SHORTEST_TILE_PART: Final = 14


@dataclass(frozen=True, slots=True)
class Size:
    """Of the image, pixels, and how many tiles and components it has."""

    width: int
    height: int
    tiles_across: int
    tiles_down: int
    components: int


@dataclass(frozen=True, slots=True)
class Style:
    """How a component is coded. Sizes are exponents of two."""

    levels: int
    block: tuple[int, int]
    precincts: tuple[tuple[int, int], ...]
    """Width and height at each resolution, the lowest first."""


@dataclass(frozen=True, slots=True)
class Headers:
    """Everything that decides into how many pieces an image is cut."""

    size: Size
    styles: tuple[Style, ...]
    """Every distinct one, of whichever tile and component."""
    layers: int
    """The most of any tile."""
    reordered: bool
    """Whether progressions change on the way, up to 32 times a tile."""


def read_headers(data: bytes, at: int) -> Headers:
    """Read the headers of the codestream that begins at `at`.

    Raises ImageTooLarge for too many segments or tile parts, ImageUnreadable for a broken structure, and struct.error
    or IndexError if it breaks off.
    """
    if struct.unpack_from(">HH", data, at) != (_SOC, _SIZ):
        raise ImageUnreadable("a JPEG 2000 codestream that does not begin as one", bytes=len(data))
    size = _size(data, at + 6)
    (length,) = struct.unpack_from(">H", data, at + 4)
    coding: set[tuple[int, bytes]] = set()
    parts, reordered = 0, False
    for number, (marker, content) in enumerate(_segments(data, at + 4 + length), 1):
        parts += marker == _SOT
        if number > MAX_SEGMENTS or parts > MAX_TILE_PARTS:
            raise ImageTooLarge(
                f"the image has more than {MAX_SEGMENTS} segments or {MAX_TILE_PARTS} tile parts", limit=MAX_TILE_PARTS
            )
        reordered = reordered or marker == _POC
        if marker in {_COD, _COC}:
            coding.add((marker, content))
            if len(coding) > MAX_STYLES:
                raise ImageTooLarge(f"the image is coded in more than {MAX_STYLES} ways", limit=MAX_STYLES)
    # A COC says how one component is coded, but the layers of all are the COD's (A.6.1, A.6.2).
    layers = max((struct.unpack_from(">H", content, 2)[0] for marker, content in coding if marker == _COD), default=1)
    return Headers(size, tuple(_style(marker, content) for marker, content in coding), layers, reordered)


def _size(data: bytes, at: int) -> Size:
    """Read what follows the length of segment SIZ (A.5.1)."""
    _, right, bottom, left, top, across, down, tile_left, tile_top, components = struct.unpack_from(
        ">HIIIIIIIIH", data, at
    )
    if right <= left or bottom <= top or not across or not down or not components:
        raise ImageUnreadable("a JPEG 2000 codestream of an empty image", bytes=len(data))
    if tile_left > left or tile_top > top:
        raise ImageUnreadable("a JPEG 2000 codestream of tiles beside the image", bytes=len(data))
    return Size(right - left, bottom - top, over(right - tile_left, across), over(bottom - tile_top, down), components)


def _segments(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and the content of each segment, in the main header and those of all tile parts."""
    next_part = 0
    while True:
        (marker,) = struct.unpack_from(">H", data, at)
        if marker == _EOC:
            return
        if marker == _SOD:
            # The data of a tile part, up to the next.
            if not next_part or next_part >= len(data):
                return
            if next_part <= at:
                raise ImageUnreadable("a JPEG 2000 codestream of tile parts in each other", bytes=len(data))
            at, next_part = next_part, 0
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if length < 2 or marker not in _SEGMENTS:
            raise ImageUnreadable("a JPEG 2000 codestream of broken structure", bytes=len(data))
        if marker == _SOT:
            (part,) = struct.unpack_from(">I", data, at + 6)
            if part and part < _SHORTEST_TILE_PART:
                raise ImageUnreadable("a JPEG 2000 codestream of broken structure", bytes=len(data))
            next_part = at + part if part else 0
        yield marker, data[at + 4 : at + 2 + length]
        at += 2 + length


def _style(marker: int, content: bytes) -> Style:
    """Read a segment COD (A.6.1), or COC (A.6.2) of an image of no more than 256 components, without its length."""
    # COD: style, progression (4 bytes), and what a COC has after its component (1 byte) and style.
    own_precincts, own = (content[0] & 1, 5) if marker == _COD else (content[1] & 1, 2)
    levels, block_width, block_height = struct.unpack_from(">BBB", content, own)
    precincts = content[own + 5 :] if own_precincts else b"\xff" * (levels + 1)
    if levels > 32 or len(precincts) <= levels:
        raise ImageUnreadable("a JPEG 2000 codestream of a broken coding style")
    sizes = tuple((each & 15, each >> 4) for each in precincts[: levels + 1])
    return Style(levels, ((block_width & 15) + 2, (block_height & 15) + 2), sizes)


def over(size: int, by: int) -> int:
    """Return how many pieces of `by` cover `size`."""
    return -(-size // by)
