"""JPEG 2000: into how many pieces an image is cut (ISO/IEC 15444-1 annex B)."""

from __future__ import annotations

import struct
from typing import Final

from gerbang_service.domain.errors import ImageTooLarge, ImageUnreadable
from gerbang_service.faces.effort.jp2_boxes import codestream_at
from gerbang_service.faces.effort.jpeg2000_headers import Headers, Size, Style, over, read_headers

# Code-blocks and packets. Ordinary files of 25 megapixels have less: 183,000 in tiles of 128 x 128, 159,000 in
# code-blocks of 32 x 32 and tiles of 256 x 256.
MAX_BLOCKS: Final = 200_000
MAX_TILES: Final = 16_384
# Places that a progression by position looks at: a tenth of a second.
MAX_POSITIONS: Final = 10_000_000
# Pillow takes no more.
MAX_COMPONENTS: Final = 4
# Progressions of a tile that OpenJPEG takes.
_MOST_PROGRESSIONS: Final = 32


def check_jpeg_2000(data: bytes, max_pixels: int) -> None:
    """Raise ImageTooLarge for too many pixels, tiles, segments, blocks or boxes; ImageUnreadable for broken structure.

    `data`: a JP2 file, or a codestream alone.
    """
    try:
        headers = read_headers(data, codestream_at(data))
    except (struct.error, IndexError):
        raise ImageUnreadable("the JPEG 2000 codestream breaks off", bytes=len(data)) from None
    if headers.size.components > MAX_COMPONENTS:
        raise ImageUnreadable(f"a JPEG 2000 codestream of {headers.size.components} components", bytes=len(data))
    _check_size(headers.size, max_pixels)
    blocks = max((_pieces(each, headers.layers, headers.size) for each in headers.styles), default=0)
    if blocks > MAX_BLOCKS:
        raise ImageTooLarge(
            f"the image is coded in {blocks} blocks and packets, the limit is {MAX_BLOCKS}", limit=MAX_BLOCKS
        )
    positions = _positions(headers)
    if positions > MAX_POSITIONS:
        raise ImageTooLarge(f"the image is coded at {positions} positions", limit=MAX_POSITIONS)


def _check_size(size: Size, max_pixels: int) -> None:
    pixels, tiles = size.width * size.height, size.tiles_across * size.tiles_down
    if pixels > max_pixels or tiles > MAX_TILES:
        raise ImageTooLarge(
            f"the image has {pixels} pixels in {tiles} tiles, the limits are {max_pixels} and {MAX_TILES}",
            width=size.width,
            height=size.height,
            limit=max_pixels,
        )


def _pieces(style: Style, layers: int, size: Size) -> int:
    """Return how many code-blocks and packets there are at most, if all components are coded so."""
    total = 0
    for resolution, (across, down) in enumerate(style.precincts):
        halvings = style.levels - resolution
        total += layers * _cells(size, across + halvings, down + halvings)  # a packet a layer (B.9)
        # Above the lowest, a resolution has three bands of half its size, and precincts halve with them (B.7).
        half = int(resolution > 0)
        block_across = min(style.block[0], max(0, across - half)) + halvings + half
        block_down = min(style.block[1], max(0, down - half)) + halvings + half
        total += (3 if half else 1) * _cells(size, block_across, block_down)
    return size.components * total


def _positions(headers: Headers) -> int:
    """Return how many places are looked at for a packet, if the progression is one by position (B.12.1.3 to B.12.1.5).

    OpenJPEG goes through each tile in steps of the narrowest precinct of any resolution and component across, and of
    the lowest one down, which may be of another, and at each place through all resolutions of all components.
    """
    exponents = [
        (across + style.levels - resolution, down + style.levels - resolution)
        for style in headers.styles
        for resolution, (across, down) in enumerate(style.precincts)
    ]
    if not exponents:
        return 0
    places = _cells(headers.size, min(across for across, _ in exponents), min(down for _, down in exponents))
    resolutions = 1 + max(style.levels for style in headers.styles)
    return places * resolutions * headers.size.components * (_MOST_PROGRESSIONS if headers.reordered else 1)


def _cells(size: Size, across: int, down: int) -> int:
    """Return in how many cells of 2 ** across by 2 ** down pixels the image lies at most, which tile borders cut."""
    columns = over(size.width, 2**across) + size.tiles_across
    rows = over(size.height, 2**down) + size.tiles_down
    return columns * rows
