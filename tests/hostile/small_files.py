"""Small pictures of every format, so that many mutations of them can be tried."""

from __future__ import annotations

from collections.abc import Callable

from hostile import crafted
from hostile.person import PERSON
from hostile.readable import see_through
from pictures import picture, saved


def small(kind: str, **options: object) -> bytes:
    """Return a small picture of the person."""
    return saved(picture(PERSON).resize((48, 64)), kind, **options)


SMALL: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: small("JPEG"),
    "progressive JPEG": lambda: small("JPEG", progressive=True, exif=crafted.exif(6)),
    "CMYK JPEG": lambda: saved(picture(PERSON).resize((48, 64)).convert("CMYK"), "JPEG"),
    "PNG": lambda: small("PNG", exif=crafted.exif(3)),
    "PNG with palette": lambda: saved(picture(PERSON).resize((48, 64)).quantize(16), "PNG", transparency=b"\x80" * 9),
    "animated PNG": lambda: small("PNG", save_all=True, append_images=[picture(PERSON, 2).resize((48, 64))]),
    "WebP": lambda: small("WEBP", quality=80, exif=crafted.exif(8)),
    "lossless WebP": lambda: small("WEBP", lossless=True),
    "WebP with alpha": lambda: saved(see_through().resize((48, 64)), "WEBP"),
    "animated WebP": lambda: small("WEBP", save_all=True, append_images=[picture(PERSON, 2).resize((48, 64))]),
    "BMP": lambda: small("BMP"),
    "BMP with palette": lambda: saved(picture(PERSON).resize((48, 64)).quantize(16), "BMP"),
    "JPEG 2000": lambda: small("JPEG2000"),
    "raw JPEG 2000": lambda: small("JPEG2000", no_jp2=True),
    "tiled JPEG 2000": lambda: small("JPEG2000", tile_size=(16, 16)),
}
