"""BMP: run lengths, which Pillow unpacks in Python."""

from __future__ import annotations

import struct
from typing import Final

from gerbang_service.domain.errors import ImageTooLarge

# Of a run-length coded one: half a second each. A photograph is none.
MAX_PACKED_BYTES: Final = 1_000_000
MAX_PACKED_PIXELS: Final = 1_000_000

_INFO_AT: Final = 14  # BITMAPINFOHEADER, behind the file's own header
_INFO_BYTES: Final = 40
_RUN_LENGTHS: Final = (1, 2)  # BI_RLE8, BI_RLE4


def check_bmp(data: bytes) -> None:
    """Raise ImageTooLarge for a run-length coded picture of too many bytes or pixels."""
    if len(data) < _INFO_AT + _INFO_BYTES:
        return
    length, width, height, _, _, compression = struct.unpack_from("<IiiHHI", data, _INFO_AT)
    if length < _INFO_BYTES or compression not in _RUN_LENGTHS:
        return  # the older header of 12 bytes knows no compression
    pixels = abs(width * height)
    if len(data) > MAX_PACKED_BYTES or pixels > MAX_PACKED_PIXELS:
        raise ImageTooLarge(
            f"the image has {pixels} pixels in {len(data)} bytes of run lengths,"
            f" the limits are {MAX_PACKED_PIXELS} and {MAX_PACKED_BYTES}",
            width=abs(width),
            height=abs(height),
            limit=MAX_PACKED_PIXELS,
        )
