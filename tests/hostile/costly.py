"""Files within the limits of bytes and pixels that would take seconds to hours, or gigabytes, to open or decode."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache

from PIL import Image

from hostile import codestreams, crafted
from hostile.person import PERSON
from pictures import picture, saved


@cache
def grey(side: int, kind: str = "JPEG") -> bytes:
    """Return a picture of one grey; a progressive JPEG has scans of a few bytes each."""
    return saved(Image.new("L", (side, side), 128), kind, progressive=True)


def in_jpeg(extra: bytes) -> bytes:
    """Return a JPEG with something after its first segment."""
    return grey(64)[:20] + extra + grey(64)[20:]


def in_png(extra: bytes, *, behind: bool = False) -> bytes:
    """Return a PNG with something before or behind its pixels."""
    file = grey(64, "PNG")
    at = file.rindex(b"IEND") - 4 if behind else file.index(b"IDAT") - 4
    return file[:at] + extra + file[at:]


def in_jp2(extra: bytes, *, before: bytes) -> bytes:
    """Return a JP2 with something before a box of that kind."""
    file = saved(Image.new("L", (64, 64)), "JPEG2000")
    at = file.index(before) - 4
    return file[:at] + extra + file[at:]


def in_jp2_header(extra: bytes) -> bytes:
    """Return a JP2 with something at the end of its header box."""
    file = saved(Image.new("L", (64, 64)), "JPEG2000")
    at = file.index(b"jp2h") - 4
    (length,) = struct.unpack_from(">I", file, at)
    end = at + length
    return file[:at] + struct.pack(">I", length + len(extra)) + file[at + 4 : end] + extra + file[end:]


@cache
def _palette() -> bytes:
    size = crafted.box(b"ihdr", struct.pack(">IIHBBBB", 64, 64, 1, 7, 7, 0, 0))
    # Pillow unpacks a palette only where the colours are none that need no palette.
    colour = crafted.box(b"colr", b"\1\0\0" + struct.pack(">I", 12))
    return size + colour + crafted.box(b"pclr", struct.pack(">HBB", 65_535, 1, 7) + bytes(65_535))


@cache
def _packed_megabyte(kind: bytes, head: bytes) -> bytes:
    return crafted.chunk(kind, head + zlib.compress(bytes(1_000_000), 9))


def run_lengths(width: int, height: int, runs: bytes) -> bytes:
    """Return a BMP of eight bits a pixel, coded in run lengths."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 2, 0)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 62) + info + b"\0\0\0\0\xff\xff\xff\0" + runs


def lossless(side: int, **options: object) -> bytes:
    """Return a lossless WebP of one colour."""
    return saved(Image.new("RGB", (side, side), "grey"), "WEBP", lossless=True, method=0, **options)


def alpha(side: int) -> bytes:
    """Return a lossy WebP whose alpha plane is lossless."""
    image = Image.new("RGBA", (side, side), "grey")
    image.putalpha(Image.linear_gradient("L").resize((side, side)))
    return saved(image, "WEBP", method=1)


# All of them IMAGE_TOO_LARGE.
ELABORATE: dict[str, Callable[[], bytes]] = {
    "JPEG of 10,000 scans": lambda: crafted.with_scans(grey(5000), 10_000),
    "JPEG of 50 scans behind a thumbnail": lambda: crafted.with_segments(
        crafted.with_scans(grey(5000), 50), 0xE1, grey(100)[:4000], 1
    ),
    "JPEG 2000 of millions of precincts": lambda: crafted.jpeg_2000_in_pieces(5000, precinct=1),
    "JPEG 2000 of millions of packets": lambda: crafted.jpeg_2000_in_pieces(1000, layers=65_535, precinct=4),
    "JP2 of millions of precincts": lambda: crafted.jp2(crafted.jpeg_2000_in_pieces(2000, precinct=1), 2000, 2000),
    "JPEG 2000 of many layers and levels": lambda: crafted.jpeg_2000_in_pieces(5000, layers=65_535, levels=32),
    "JPEG 2000 of a component in many layers": codestreams.of_many_layers,
    "JPEG 2000 of millions of blocks in strips": lambda: codestreams.of_strips(500),
    "JPEG 2000 of millions of positions": codestreams.of_positions,
    "BMP of one run-length coded row": lambda: run_lengths(25_000_000, 1, b"\1\1\0\0"),
    "lossless WebP of five megapixels": lambda: lossless(2300),
    "lossless WebP of five megapixels, with metadata": lambda: lossless(2300, exif=crafted.exif(6)),
    "animated lossless WebP of five megapixels": lambda: lossless(
        2300, save_all=True, append_images=[Image.new("RGB", (2300, 2300))]
    ),
    "WebP of five megapixels of alpha": lambda: alpha(2300),
}

# What makes one, with something so many times over; and how often it takes seconds, or hundreds of megabytes.
REPEATED: dict[str, tuple[Callable[[int], bytes], int]] = {
    "JPEG of empty segments": (lambda count: in_jpeg(b"\xff\xef\0\2" * count), 1_500_000),
    "JPEG of markers": (lambda count: in_jpeg(b"\xff\xf0" * count), 2_500_000),
    "JPEG of fill": (lambda count: in_jpeg(b"\xff" * count), 2_000_000),
    "JPEG of zeros between segments": (lambda count: in_jpeg(bytes(count)), 4_000_000),
    "JPEG of escaped fill": (lambda count: in_jpeg(b"\xff\0" * count), 2_000_000),
    "JPEG that ends in zeros": (lambda count: grey(64)[:20] + bytes(count), 4_000_000),
    "JPEG of tables": (
        lambda count: crafted.with_segments(grey(64), 0xDB, (b"\0" + b"\1" * 64) * 1000, count),
        150,
    ),
    "JPEG of segments behind a scan": (
        lambda count: grey(64)[:-2] + b"\xff\xef\0\2" * count + b"\xff\xda\0\2" * 100 + b"\xff\xd9",
        2_000_000,
    ),
    "PNG of empty chunks": (lambda count: in_png(crafted.chunk(b"abCd", b"") * count), 300_000),
    "PNG of empty chunks behind its pixels": (
        lambda count: in_png(crafted.chunk(b"abCd", b"") * count, behind=True),
        300_000,
    ),
    "PNG of empty pixels": (lambda count: in_png(crafted.chunk(b"IDAT", b"") * count), 800_000),
    "PNG of profiles": (lambda count: in_png(_packed_megabyte(b"iCCP", b"key\0\0") * count), 1000),
    "PNG of packed texts": (lambda count: in_png(_packed_megabyte(b"zTXt", b"key\0\0") * count), 60),
    "PNG of packed international texts": (lambda count: in_png(_packed_megabyte(b"iTXt", b"k\0\1\0\0\0") * count), 60),
    "JP2 of boxes": (lambda count: in_jp2(crafted.box(b"free", b"") * count, before=b"jp2h"), 1_200_000),
    "JP2 of boxes before the codestream": (
        lambda count: in_jp2(crafted.box(b"free", b"") * count, before=b"jp2c"),
        1_200_000,
    ),
    "JP2 of boxes in its header": (lambda count: in_jp2_header(crafted.box(b"free", b"") * count), 1_200_000),
    "JP2 of palettes": (lambda count: in_jp2_header(_palette() * count), 40),
    "JPEG 2000 of equal styles": (codestreams.of_equal_styles, 50_000),
    "JPEG 2000 of styles": (codestreams.of_styles, 30_000),
    "JPEG 2000 of comments": (codestreams.of_comments, 2_400_000),
    "JPEG 2000 of folded tile parts": (codestreams.of_folded_tile_parts, 20_000),
    "BMP of run lengths": (lambda count: run_lengths(1000, 1000, b"\1\1" * count), 4_900_000),
    "WebP of chunks": (lambda count: _with_chunks(saved(picture(PERSON), "WEBP"), count), 1_000_000),
}


def _with_chunks(file: bytes, count: int) -> bytes:
    extra = b"abcd\0\0\0\0" * count
    return file[:4] + struct.pack("<I", len(file) - 8 + len(extra)) + file[8:] + extra
