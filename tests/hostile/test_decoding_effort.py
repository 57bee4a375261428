"""Small files that would take hours or gigabytes to decode, within the limits of bytes and pixels, are refused."""

from __future__ import annotations

import time
from functools import cache

import pytest
from PIL import Image

import gerbang
from gerbang import GateClient
from gerbang_service.domain.errors import ImageTooLarge, ImageUnreadable
from gerbang_service.faces.decode import ImageLimits, decode
from gerbang_service.faces.effort import MAX_SCANS, check_jpeg_2000
from hostile import crafted
from hostile.person import LIST, person
from hostile.test_image_bombs import forget_peak, peak_mb
from pictures import saved
from running import RunningServer

LIMITS = ImageLimits(max_bytes=10_000_000, max_pixels=25_000_000)


@cache
def grey(side: int) -> bytes:
    """Return a progressive JPEG of one grey, whose scans are a few bytes each."""
    return saved(Image.new("L", (side, side), 128), "JPEG", progressive=True)


BOMBS = {
    "JPEG of 10,000 scans": lambda: crafted.with_scans(grey(5000), 10_000),
    "JPEG of 50 scans behind a thumbnail": lambda: crafted.with_segments(
        crafted.with_scans(grey(5000), 50), 0xE1, grey(100)[:4000], 1
    ),
    "JPEG 2000 of millions of precincts": lambda: crafted.jpeg_2000_in_pieces(5000, precinct=1),
    "JPEG 2000 of millions of packets": lambda: crafted.jpeg_2000_in_pieces(1000, layers=65_535, precinct=4),
    "JP2 of millions of precincts": lambda: crafted.jp2(crafted.jpeg_2000_in_pieces(2000, precinct=1), 2000, 2000),
    "JPEG 2000 of many layers and levels": lambda: crafted.jpeg_2000_in_pieces(5000, layers=65_535, levels=32),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_file_that_takes_hours_is_refused_at_once(gate: GateClient, server: RunningServer, kind: str) -> None:
    """It is IMAGE_TOO_LARGE within a second and takes no memory."""
    content = BOMBS[kind]()
    forget_peak(server.pid)
    before = peak_mb(server.pid)
    started = time.monotonic()
    with pytest.raises(gerbang.ImageRejected) as caught:
        gate.identify(content)
    assert caught.value.reason == "IMAGE_TOO_LARGE"
    assert time.monotonic() - started < 3
    assert peak_mb(server.pid) - before < 50


ELABORATE = {
    "progressive JPEG with twenty scans more": lambda: crafted.with_scans(
        saved(person(), "JPEG", progressive=True, quality=95), 20
    ),
    "JPEG with fifty thumbnails": lambda: crafted.with_segments(
        saved(person(), "JPEG", quality=95), 0xE1, b"\xff\xda\0\0" * 50, 1
    ),
    "JPEG 2000 in tiles and small blocks": lambda: saved(
        person(), "JPEG2000", tile_size=(32, 32), codeblock_size=(8, 8)
    ),
    "JPEG 2000 of precincts": lambda: saved(person(), "JPEG2000", precinct_size=(64, 64), codeblock_size=(32, 32)),
    "JPEG 2000 in layers": lambda: saved(
        person(), "JPEG2000", irreversible=True, quality_mode="rates", quality_layers=[40, 20, 10, 5]
    ),
}


@pytest.mark.parametrize("kind", ELABORATE)
def test_elaborate_files_are_seen(gate: GateClient, kind: str) -> None:
    """What an encoder may do for a good reason is decoded."""
    assert gate.identify(ELABORATE[kind](), watchlists=[LIST]).hit


def test_scans_are_counted_to_the_last() -> None:
    """The limit is exact."""
    few = grey(64)
    own = few.count(b"\xff\xda")
    assert decode(crafted.with_scans(few, MAX_SCANS - own), LIMITS).shape == (64, 64, 3)
    with pytest.raises(ImageTooLarge):
        decode(crafted.with_scans(few, MAX_SCANS - own + 1), LIMITS)


@pytest.mark.parametrize("cut", [2, 5, 30, 60, 70, 100])
def test_codestream_that_breaks_off_is_unreadable(cut: int) -> None:
    """A header that is not whole is refused, not guessed at."""
    with pytest.raises(ImageUnreadable):
        check_jpeg_2000(crafted.jpeg_2000_in_pieces(100)[:cut], LIMITS.max_pixels)
