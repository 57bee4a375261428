"""The person's picture in every kind of file that is supported."""

from __future__ import annotations

import struct
import zlib

from PIL import Image, PngImagePlugin

from hostile import crafted
from hostile.person import OTHER_PERSON, person, pixels
from pictures import picture, saved


def rgb_16() -> bytes:
    """Return the person as a PNG of 16 bits a channel, which Pillow can't save."""
    rows = (pixels().astype(">u2") * 257).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(crafted.chunk(kind, content) for kind, content in chunks)


def see_through() -> Image.Image:
    """Return the person with a transparent border, under which there is another picture."""
    opaque = person().convert("RGBA")
    alpha = Image.new("L", opaque.size, 255)
    alpha.paste(0, (0, 0, opaque.width, 8))
    opaque.putalpha(alpha)
    return opaque


def palette() -> Image.Image:
    """Return the person in 256 colours."""
    return person().quantize(256, method=Image.Quantize.FASTOCTREE)


def palette_with_transparency() -> bytes:
    """Return the person in 256 colours, the rarest of them transparent."""
    image = palette()
    _, rarest = min(image.getcolors() or [])  # type: ignore[type-var]
    return saved(image, "PNG", transparency=rarest)


def animation(kind: str) -> bytes:
    """Return an animation that shows the person first and someone else after that."""
    frames = [picture(OTHER_PERSON), picture(OTHER_PERSON, 2)]
    return saved(person(), kind, save_all=True, append_images=frames, duration=100, lossless=True)


def broken_exif() -> bytes:
    """Return the person with an EXIF block that is rubbish behind its signature."""
    return crafted.with_segments(saved(person(), "JPEG"), 0xE1, b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xff" * 200, 1)


def endless_exif() -> bytes:
    """Return the person with an EXIF directory that points to itself."""
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8)
    directory = b"Exif\0\0II*\0" + struct.pack("<I", 8) + struct.pack("<H", 1) + entry + struct.pack("<I", 8)
    return crafted.with_segments(saved(person(), "JPEG"), 0xE1, directory, 1)


def giant_profile() -> bytes:
    """Return the person with 5 MB of colour profile."""
    content = b"ICC_PROFILE\0\1\1" + bytes(65_000)
    return crafted.with_segments(saved(person(), "JPEG"), 0xE2, content, 77)


def giant_comment() -> bytes:
    """Return the person with 5 MB of comments."""
    return crafted.with_segments(saved(person(), "JPEG"), 0xFE, b"x" * 65_000, 77)


def texts() -> bytes:
    """Return the person with ordinary PNG texts."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "x" * 10_000)
    info.add_itxt("Comment", "y" * 10_000, zip=True)
    return saved(person(), "PNG", pnginfo=info)


READABLE = {
    "JPEG": lambda: saved(person(), "JPEG"),
    "progressive JPEG": lambda: saved(person(), "JPEG", progressive=True),
    "CMYK JPEG": lambda: saved(person().convert("CMYK"), "JPEG", quality=95),
    "JPEG without subsampling": lambda: saved(person(), "JPEG", subsampling=0),
    "JPEG and rubbish behind it": lambda: saved(person(), "JPEG") + b"rubbish" * 1000,
    "JPEG with broken EXIF": broken_exif,
    "JPEG with endless EXIF": endless_exif,
    "JPEG with a giant profile": giant_profile,
    "JPEG with a giant comment": giant_comment,
    "PNG": lambda: saved(person(), "PNG"),
    "PNG with alpha": lambda: saved(see_through(), "PNG"),
    "PNG with palette": lambda: saved(palette(), "PNG"),
    "PNG with palette and transparency": palette_with_transparency,
    "PNG with texts": texts,
    "16-bit RGB PNG": rgb_16,
    "animated PNG": lambda: animation("PNG"),
    "lossy WebP": lambda: saved(person(), "WEBP", quality=90),
    "lossless WebP": lambda: saved(person(), "WEBP", lossless=True),
    "WebP with alpha": lambda: saved(see_through(), "WEBP", lossless=True),
    "animated WebP": lambda: animation("WEBP"),
    "BMP": lambda: saved(person(), "BMP"),
    "BMP with palette": lambda: saved(palette(), "BMP"),
    "JPEG 2000": lambda: saved(person(), "JPEG2000"),
    "lossy JPEG 2000": lambda: saved(
        person(), "JPEG2000", irreversible=True, quality_mode="rates", quality_layers=[20]
    ),
    "raw JPEG 2000": lambda: saved(person(), "JPEG2000", no_jp2=True),
    "tiled JPEG 2000": lambda: saved(person(), "JPEG2000", tile_size=(64, 64)),
}
