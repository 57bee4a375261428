"""Image files made by hand: headers that promise too much, odd but valid metadata, broken parts."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Where row 0 and column 0 of the stored pixels are in the picture as displayed (CIPA DC-008, tag Orientation).
_SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def stored_for(orientation: int, upright: NDArray[np.uint8]) -> Image.Image:
    """Return the pixels that a camera held like that stores, so that a viewer shows `upright`."""
    rows, columns = _SIDES[orientation]
    pixels = upright if rows in {"top", "bottom"} else upright.transpose(1, 0, 2)
    if rows in {"bottom", "right"}:
        pixels = pixels[::-1]
    if columns in {"bottom", "right"}:
        pixels = pixels[:, ::-1]
    return Image.fromarray(np.ascontiguousarray(pixels))


def exif(orientation: int) -> Image.Exif:
    """Return metadata with an orientation."""
    metadata = Image.Exif()
    metadata[0x0112] = orientation
    return metadata


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *, extra: bytes = b"", pixels: bytes = bytes(100)) -> bytes:
    """Return an RGB PNG with a header that may promise more than its pixels are."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(pixels, 9))
    return b"\x89PNG\r\n\x1a\n" + header + extra + body + chunk(b"IEND", b"")


def with_chunk(file: bytes, extra: bytes) -> bytes:
    """Return a PNG with a chunk after its header."""
    return file[:33] + extra + file[33:]


def bmp(width: int, height: int) -> bytes:
    """Return the header of a 24-bit BMP, without pixels."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


def _riff(content: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(content)) + b"WEBP" + content


def _vp8l(width: int, height: int) -> bytes:
    content = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(41)
    return b"VP8L" + struct.pack("<I", len(content)) + content


def webp(width: int, height: int) -> bytes:
    """Return a lossless WebP of no more than its header, up to 16383 pixels wide and high."""
    return _riff(_vp8l(width, height))


def webp_canvas(width: int, height: int) -> bytes:
    """Return an animated WebP with a small frame on a canvas of any size."""
    header = b"VP8X" + struct.pack("<II", 10, 2) + _int24(width - 1) + _int24(height - 1)
    frame = bytes(6) + _int24(15) + _int24(15) + _int24(100) + b"\0" + _vp8l(16, 16)
    animation = b"ANIM" + struct.pack("<IIH", 6, 0, 0) + b"ANMF" + struct.pack("<I", len(frame)) + frame
    return _riff(header + animation)


def _int24(value: int) -> bytes:
    return struct.pack("<I", value)[:3]


def jpeg_2000(width: int, height: int, *, tile: int | None = None, components: int = 3) -> bytes:
    """Return a raw JPEG 2000 codestream with one empty tile."""
    tiles = (tile or width, tile or height)
    size = struct.pack(">HIIIIIIIIH", 0, width, height, 0, 0, *tiles, 0, 0, components) + b"\x07\x01\x01" * components
    style = struct.pack(">HBBHBBBBBB", 12, 0, 0, 1, 1, 5, 4, 4, 0, 0)
    quantization = struct.pack(">HB", 19, 0x40) + bytes(16)
    tile_part = struct.pack(">HHIBB", 10, 0, 0, 0, 1)
    head = b"\xff\x4f\xff\x51" + struct.pack(">H", len(size) + 2) + size
    return head + b"\xff\x52" + style + b"\xff\x5c" + quantization + b"\xff\x90" + tile_part + b"\xff\x93\0\0\xff\xd9"


def jpeg_2000_in_pieces(side: int, *, layers: int = 1, levels: int = 5, precinct: int = 15) -> bytes:
    """Return a codestream of square precincts of 2 ** precinct at every level; its data is nothing."""
    size = struct.pack(">HIIIIIIIIH", 0, side, side, 0, 0, side, side, 0, 0, 3) + b"\x07\x01\x01" * 3
    style = struct.pack(">BBHBBBBBB", 1, 0, layers, 0, levels, 4, 4, 0, 0) + bytes([precinct * 17] * (levels + 1))
    quantization = b"\x40" + bytes(1 + 3 * levels)
    segments = ((b"\xff\x51", size), (b"\xff\x52", style), (b"\xff\x5c", quantization))
    head = b"".join(marker + struct.pack(">H", len(content) + 2) + content for marker, content in segments)
    tile_part = struct.pack(">HHIBB", 10, 0, 0, 0, 1)
    return b"\xff\x4f" + head + b"\xff\x90" + tile_part + b"\xff\x93" + bytes(2000) + b"\xff\xd9"


def with_scans(file: bytes, count: int) -> bytes:
    """Return a progressive JPEG whose last scan comes so many times more."""
    begin, end = file.rindex(b"\xff\xda"), file.rindex(b"\xff\xd9")
    return file[:end] + file[begin:end] * count + file[end:]


def jp2(codestream: bytes, width: int, height: int) -> bytes:
    """Return a JP2 file around a codestream, whose own header may say something else."""
    size = box(b"ihdr", struct.pack(">IIHBBBB", height, width, 3, 7, 7, 0, 0))
    colour = box(b"colr", b"\x01\0\0" + struct.pack(">I", 16))
    start = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return start + box(b"jp2h", size + colour) + box(b"jp2c", codestream)


def box(kind: bytes, content: bytes) -> bytes:
    """Return a JP2 box."""
    return struct.pack(">I", 8 + len(content)) + kind + content


def jpeg_of_size(file: bytes, width: int, height: int) -> bytes:
    """Return a baseline JPEG whose header promises another size."""
    frame = file.index(b"\xff\xc0")
    return file[: frame + 5] + struct.pack(">HH", height, width) + file[frame + 9 :]


def with_segments(file: bytes, marker: int, content: bytes, count: int) -> bytes:
    """Return a JPEG with `count` equal segments after its start."""
    segment = b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content
    return file[:2] + segment * count + file[2:]
