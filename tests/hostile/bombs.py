"""Small files that unpack to a hundred megabytes."""

from __future__ import annotations

import zlib
from functools import cache

from hostile import crafted
from hostile.person import person
from pictures import saved


@cache
def packed_zeros() -> bytes:
    """Return 100 MB of zeros, compressed."""
    return zlib.compress(bytes(100_000_000), 6)


def text_bomb(kind: bytes, head: bytes) -> bytes:
    """Return a PNG chunk of 100 kB that unpacks to 100 MB."""
    return crafted.chunk(kind, head + packed_zeros())


METADATA_BOMBS = {
    "PNG text bomb": lambda: crafted.with_chunk(saved(person(), "PNG"), text_bomb(b"zTXt", b"key\0\0")),
    "PNG international text bomb": lambda: crafted.with_chunk(
        saved(person(), "PNG"), text_bomb(b"iTXt", b"key\0\1\0\0\0")
    ),
    "PNG profile bomb": lambda: crafted.with_chunk(saved(person(), "PNG"), text_bomb(b"iCCP", b"key\0\0")),
}
