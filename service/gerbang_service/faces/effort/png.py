"""PNG: chunks (ISO/IEC 15948 clause 5)."""

from __future__ import annotations

import struct
from typing import Final

from gerbang_service.domain.errors import ImageTooLarge, ImageUnreadable

# Encoders write the pixels in pieces of 8 kB or more; ten megabytes of those are 1,220.
MAX_CHUNKS: Final = 10_000
# Each may unpack to a megabyte (PngImagePlugin.MAX_TEXT_CHUNK), which Pillow keeps.
MAX_PACKED_TEXTS: Final = 20

_SIGNATURE_BYTES: Final = 8
_CHUNK_BYTES: Final = 12  # without its content: length, type, checksum


def check_png(data: bytes) -> None:
    """Raise ImageTooLarge for too many chunks or packed texts, ImageUnreadable for more than one colour profile."""
    at = _SIGNATURE_BYTES
    chunks = texts = profiles = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        at += _CHUNK_BYTES + length
        chunks += 1
        texts += kind in {b"zTXt", b"iTXt"}
        profiles += kind == b"iCCP"
        if kind == b"IEND":
            return
        if chunks > MAX_CHUNKS:
            raise ImageTooLarge(f"the image has more than {MAX_CHUNKS} chunks", limit=MAX_CHUNKS)
        if texts > MAX_PACKED_TEXTS:
            raise ImageTooLarge(f"the image has more than {MAX_PACKED_TEXTS} packed texts", limit=MAX_PACKED_TEXTS)
        if profiles > 1:
            raise ImageUnreadable("the image has more than one colour profile", bytes=len(data))
