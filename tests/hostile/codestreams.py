"""JPEG 2000 codestreams made by hand, whose headers cut small data into many pieces."""

from __future__ import annotations

import struct

# Exponents of the precincts' height and width: one precinct for all, or one for 2 x 2 pixels.
WHOLE, PAIRS = 0xFF, 0x11


def segment(marker: int, content: bytes) -> bytes:
    """Return a marker segment."""
    return struct.pack(">HH", marker, len(content) + 2) + content


def start(side: int, tile: tuple[int, int], components: int) -> bytes:
    """Return the beginning of the codestream of a square image: SOC and SIZ."""
    size = struct.pack(">HIIIIIIIIH", 0, side, side, 0, 0, *tile, 0, 0, components)
    return b"\xff\x4f" + segment(0xFF51, size + b"\x07\x01\x01" * components)


def style(precincts: bytes, *, layers: int = 1, order: int = 0, block: tuple[int, int] = (4, 4)) -> bytes:
    """Return a COD of a resolution for each of `precincts`, and the QCD that it needs."""
    levels = len(precincts) - 1
    cod = struct.pack(">BBHBBBBBB", 1, order, layers, 0, levels, *block, 0, 1) + precincts
    return segment(0xFF52, cod) + segment(0xFF5C, b"\x40" + bytes(1 + 3 * levels))


def component_style(precincts: bytes) -> bytes:
    """Return a COC of the first component."""
    return segment(0xFF53, bytes([0, 1, len(precincts) - 1, 4, 4, 0, 1]) + precincts)


def tile_part(tile: int, body: bytes) -> bytes:
    """Return a tile part."""
    return b"\xff\x90" + struct.pack(">HHIBB", 10, tile, 14 + len(body), 0, 1) + b"\xff\x93" + body


def of_many_layers() -> bytes:
    """Return 104 bytes: a COC cuts into 40,000 precincts what a COD gives a thousand layers."""
    head = start(1600, (1600, 1600), 1) + style(bytes([WHOLE]), layers=1000) + component_style(b"\x33")
    return head + tile_part(0, bytes(10)) + b"\xff\xd9"


def of_strips(tiles: int) -> bytes:
    """Return an image of up to 5,000 tiles of one row, which cut blocks of 4 x 1024."""
    head = start(5000, (5000, 1), 3) + style(bytes([WHOLE]), block=(0, 8))
    return head + b"".join(tile_part(tile, bytes(8)) for tile in range(tiles)) + b"\xff\xd9"


def of_positions() -> bytes:
    """Return one whose progressions look at a hundred thousand places 31 times, for a thousand packets.

    Precincts are wide and low at one resolution, narrow and high at the next: the places are in steps of the smaller.
    """
    precincts = bytes([WHOLE, WHOLE, WHOLE, WHOLE, 0x4F, 0xF4])
    progression = struct.pack(">BBHBBB", 0, 0, 1, len(precincts), 3, 2)
    head = start(5000, (5000, 5000), 3) + style(precincts, order=2) + segment(0xFF5F, progression * 31)
    return head + tile_part(0, bytes(2000)) + b"\xff\xd9"


def of_hidden_style() -> bytes:
    """Return one that is cut by a COD within a segment of unknown kind, where OpenJPEG looks for it."""
    hidden = segment(0xFF79, style(bytes([PAIRS])))
    return start(5000, (5000, 5000), 3) + style(bytes([WHOLE])) + hidden + tile_part(0, bytes(10)) + b"\xff\xd9"


def of_equal_styles(count: int) -> bytes:
    """Return one that says so often how it is coded."""
    return start(64, (64, 64), 1) + style(bytes([WHOLE] * 33)) * count + tile_part(0, bytes(10)) + b"\xff\xd9"


def of_styles(count: int) -> bytes:
    """Return one that says so often how it is coded, each time otherwise."""
    styles = (style(bytes([WHOLE] * 33), layers=1 + each // 256, order=each % 256) for each in range(count))
    return start(64, (64, 64), 1) + b"".join(styles) + tile_part(0, bytes(10)) + b"\xff\xd9"


def of_comments(count: int) -> bytes:
    """Return one of so many empty comments."""
    return (
        start(64, (64, 64), 1)
        + segment(0xFF64, b"") * count
        + style(bytes([WHOLE]))
        + tile_part(0, bytes(10))
        + b"\xff\xd9"
    )


def of_folded_tile_parts(count: int) -> bytes:
    """Return tile parts that each begin within the one before, and all end behind the same thousands of comments."""
    parts = 1000
    folded = b""
    for number in range(parts):
        to_comments = 16 * (parts - number) - 14
        folded += b"\xff\x90" + struct.pack(">HHIBB", 10, 0, 16, 0, 1) + struct.pack(">HH", 0xFF64, to_comments)
    return start(64, (64, 64), 1) + folded + segment(0xFF64, b"") * count + b"\xff\x93\0\0\xff\xd9"
