"""What an image file would cost to open and decode beyond its bytes and pixels, read from its structure before.

Every format can ask for minutes or gigabytes in a small file: a JPEG passes over all its pixels once a scan, a
JPEG 2000 codestream may be cut into millions of pieces with their own bookkeeping, a WebP may bring 65,536 sets of
tables, and Pillow goes through segments, chunks and boxes in Python. A check is far cheaper than what it prevents:
it looks at as many segments as it lets pass, and skips what is between them without looking at each byte.
"""

from __future__ import annotations

from gerbang_service.faces.effort.bmp import check_bmp
from gerbang_service.faces.effort.jpeg import check_jpeg
from gerbang_service.faces.effort.jpeg2000 import check_jpeg_2000
from gerbang_service.faces.effort.png import check_png
from gerbang_service.faces.effort.webp import check_webp


def check_effort(data: bytes, max_pixels: int) -> None:
    """Raise ImageTooLarge for a file that would cost too much, or ImageUnreadable for one of broken structure.

    The format is told as Pillow tells it, by the first bytes; a file of none of the formats passes. `max_pixels`:
    of a JPEG 2000, whose codestream may say another size than the file around it.
    """
    if data.startswith(b"\xff\xd8\xff"):
        check_jpeg(data)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        check_png(data)
    elif data.startswith(b"RIFF"):
        check_webp(data)
    elif data.startswith(b"BM"):
        check_bmp(data)
    elif data.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")):
        check_jpeg_2000(data, max_pixels)
