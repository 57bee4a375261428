"""What is no whole image of a supported format is refused, whatever it begins with."""

from __future__ import annotations

import random

import pytest

import gerbang
from gerbang import GateClient
from hostile import crafted
from hostile.bombs import METADATA_BOMBS
from hostile.person import PERSON, person
from hostile.readable import READABLE
from pictures import photo, saved
from running import RunningServer

UNSUPPORTED = {
    "GIF": lambda: saved(person(), "GIF"),
    "TIFF": lambda: saved(person(), "TIFF"),
    "AVIF": lambda: saved(person(), "AVIF"),
    "ICO": lambda: saved(person().resize((64, 64)), "ICO"),
    "TGA": lambda: saved(person(), "TGA"),
    "PPM": lambda: saved(person(), "PPM"),
    "PDF": lambda: saved(person(), "PDF"),
    "EPS": lambda: saved(person(), "EPS"),
    "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>',
    "HTML": lambda: b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "XML with entities": lambda: (
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'
    ),
    "nothing": lambda: b"",
    "one byte": lambda: b"\xff",
    "zeros": lambda: bytes(100_000),
    "noise": lambda: random.Random(5).randbytes(100_000),
    "noise behind a JPEG signature": lambda: b"\xff\xd8\xff\xe0" + random.Random(6).randbytes(100_000),
    "noise behind a PNG signature": lambda: b"\x89PNG\r\n\x1a\n" + random.Random(7).randbytes(100_000),
    "noise behind a WebP signature": lambda: b"RIFF\x98\x86\x01\0WEBPVP8 " + random.Random(8).randbytes(100_000),
    "noise behind a JPEG 2000 signature": lambda: b"\xff\x4f\xff\x51" + random.Random(9).randbytes(100_000),
    "noise behind a BMP signature": lambda: b"BM" + random.Random(10).randbytes(100_000),
    "BMP of width 0": lambda: crafted.bmp(0, 5),
    "PNG of width 0": lambda: crafted.png(0, 5),
    "PNG header without pixels": lambda: crafted.png(5000, 5000),
    **METADATA_BOMBS,
    "JPEG 2000 with 16384 components": lambda: crafted.jpeg_2000(5000, 5000, components=16384),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_what_is_no_supported_image_is_unreadable(gate: GateClient, kind: str) -> None:
    """Other formats, rubbish and bombs are IMAGE_UNREADABLE, whatever they begin with."""
    content = UNSUPPORTED[kind]()
    with pytest.raises(gerbang.ImageUnreadable) as caught:
        gate.identify(content)
    assert caught.value.metadata.get("bytes", "0") == str(len(content))


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["JPEG", "progressive JPEG", "PNG", "lossy WebP", "BMP", "JPEG 2000", "raw JPEG 2000"])
def test_truncated_file_is_unreadable(gate: GateClient, kind: str, share: float) -> None:
    """A file that was cut off anywhere is IMAGE_UNREADABLE, never half a picture."""
    content = READABLE[kind]()
    with pytest.raises(gerbang.ImageUnreadable):
        gate.identify(content[: int(share * len(content))])


def test_refusals_do_not_repeat_the_image(gate: GateClient, server: RunningServer) -> None:
    """Neither the failure nor the log holds bytes of the picture or the words in it."""
    content = crafted.with_segments(photo(PERSON)[:3000], 0xFE, b"Siti Rahayu, B1234567", 1)
    with pytest.raises(gerbang.ImageUnreadable) as caught:
        gate.identify(content)
    assert "Siti" not in f"{caught.value} {caught.value.metadata}"
    assert "Siti" not in server.stderr
