"""WebP: lossless pictures (RFC 9649).

A lossless picture may bring a set of five decoding tables for each block of 4 x 4 pixels, up to 65,536 sets (section
3.7.2.2), of which libwebp builds 5 kB each from three bytes of the file. How many there are is known only after
decoding what comes before them, so what is bounded is how much a lossless picture may have beside them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from gerbang_service.domain.errors import ImageTooLarge

# Of a lossless picture. The worst file found within them takes 455 MB and 1.4 s (docs/images.md).
MAX_LOSSLESS_PIXELS: Final = 4_000_000
MAX_LOSSLESS_BYTES: Final = 4_000_000
MAX_CHUNKS: Final = 10_000

_RIFF_BYTES, _FRAME_BYTES = 12, 16


def check_webp(data: bytes) -> None:
    """Raise ImageTooLarge for a lossless picture, frame or alpha plane of too many bytes or pixels; too many chunks."""
    pixels, lossless = 0, False
    for kind, at in _chunks(data):
        if kind == b"VP8X":
            pixels = max(pixels, (_int24(data, at + 4) + 1) * (_int24(data, at + 7) + 1))
        elif kind == b"VP8L":
            lossless = True
            size = int.from_bytes(data[at + 1 : at + 5], "little")
            pixels = max(pixels, ((size & 0x3FFF) + 1) * ((size >> 14 & 0x3FFF) + 1))
        elif kind == b"ALPH":
            # Its first byte's lowest bits: 0 as it is, 1 like a lossless picture (section 2.7.1.2).
            lossless |= bool(int.from_bytes(data[at : at + 1]) & 3)
    if lossless and (pixels > MAX_LOSSLESS_PIXELS or len(data) > MAX_LOSSLESS_BYTES):
        raise ImageTooLarge(
            f"the image has {pixels} pixels in {len(data)} bytes of lossless WebP,"
            f" the limits are {MAX_LOSSLESS_PIXELS} and {MAX_LOSSLESS_BYTES}",
            limit=MAX_LOSSLESS_PIXELS,
        )


def _chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the kind of each chunk, those of frames too, and where its content begins."""
    at, chunks = _RIFF_BYTES, 0
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        chunks += 1
        if chunks > MAX_CHUNKS:
            raise ImageTooLarge(f"the image has more than {MAX_CHUNKS} chunks", limit=MAX_CHUNKS)
        at += 8
        yield kind, at
        # A frame's chunks follow on a header of its own.
        at += _FRAME_BYTES if kind == b"ANMF" else length + length % 2


def _int24(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")
