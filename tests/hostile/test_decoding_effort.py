"""Small files that would take hours or gigabytes to decode, within the limits of bytes and pixels, are refused."""

from __future__ import annotations

import time

import pytest
from PIL import Image

import gerbang
from gerbang import GateClient
from gerbang_service.domain.errors import ImageTooLarge, ImageUnreadable
from gerbang_service.faces.decode import ImageLimits, decode
from gerbang_service.faces.effort.jpeg import MAX_SCANS
from gerbang_service.faces.effort.jpeg2000 import check_jpeg_2000
from gerbang_service.faces.effort.png import MAX_PACKED_TEXTS
from hostile import codestreams, costly, crafted
from hostile.person import LIST, person
from hostile.test_image_bombs import forget_peak, peak_mb
from pictures import saved
from running import RunningServer

LIMITS = ImageLimits(max_bytes=10_000_000, max_pixels=25_000_000)
# With one piece, these are no ordinary pictures either.
SPOILED_BY_ONE = {
    "JPEG of markers",
    "JPEG that ends in zeros",
    "JPEG of segments behind a scan",
    "JP2 of palettes",
    "JPEG 2000 of folded tile parts",
    "BMP of run lengths",
}


@pytest.mark.parametrize("kind", costly.ELABORATE)
def test_file_that_takes_hours_is_refused_at_once(gate: GateClient, server: RunningServer, kind: str) -> None:
    """It is IMAGE_TOO_LARGE within a second and takes no memory."""
    content = costly.ELABORATE[kind]()
    forget_peak(server.pid)
    before = peak_mb(server.pid)
    started = time.monotonic()
    with pytest.raises(gerbang.ImageRejected) as caught:
        gate.identify(content)
    assert caught.value.reason == "IMAGE_TOO_LARGE"
    assert time.monotonic() - started < 3
    assert peak_mb(server.pid) - before < 50


@pytest.mark.parametrize("kind", costly.REPEATED)
def test_file_of_too_many_pieces_is_refused_at_once(kind: str) -> None:
    """What is there by the million is refused in a fraction of the time that it takes to go through it."""
    make, count = costly.REPEATED[kind]
    content = make(count)
    assert len(content) <= LIMITS.max_bytes
    started = time.thread_time()
    with pytest.raises((ImageTooLarge, ImageUnreadable)):
        decode(content, LIMITS)
    assert time.thread_time() - started < 0.5


@pytest.mark.parametrize("kind", sorted(set(costly.REPEATED) - SPOILED_BY_ONE))
def test_few_pieces_are_decoded(kind: str) -> None:
    """The same with one piece more than usual is an ordinary picture."""
    make, _ = costly.REPEATED[kind]
    assert decode(make(1), LIMITS).shape[2] == 3


def test_style_in_an_unknown_segment_is_not_overlooked() -> None:
    """What the decoder would find where the check does not look is refused."""
    with pytest.raises(ImageUnreadable):
        decode(codestreams.of_hidden_style(), LIMITS)


DECODED = {
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


@pytest.mark.parametrize("kind", DECODED)
def test_elaborate_files_are_seen(gate: GateClient, kind: str) -> None:
    """What an encoder may do for a good reason is decoded."""
    assert gate.identify(DECODED[kind](), watchlists=[LIST]).hit


def test_scans_are_counted_to_the_last() -> None:
    """The limit is exact."""
    few = costly.grey(64)
    own = few.count(b"\xff\xda")
    assert decode(crafted.with_scans(few, MAX_SCANS - own), LIMITS).shape == (64, 64, 3)
    with pytest.raises(ImageTooLarge):
        decode(crafted.with_scans(few, MAX_SCANS - own + 1), LIMITS)


def test_packed_texts_are_counted_to_the_last() -> None:
    """The limit is exact."""
    make, _ = costly.REPEATED["PNG of packed texts"]
    assert decode(make(MAX_PACKED_TEXTS), LIMITS).shape == (64, 64, 3)
    with pytest.raises(ImageTooLarge):
        decode(make(MAX_PACKED_TEXTS + 1), LIMITS)


@pytest.mark.parametrize("tile", [1024, 256, 128])
def test_large_tiled_codestreams_are_decoded(tile: int) -> None:
    """25 megapixels in tiles of an ordinary size, coded as encoders do by default, are within the limits."""
    image = Image.new("RGB", (5000, 5000), "grey")
    check_jpeg_2000(saved(image, "JPEG2000", tile_size=(tile, tile)), LIMITS.max_pixels)


@pytest.mark.parametrize("cut", [2, 5, 30, 60, 70, 100])
def test_codestream_that_breaks_off_is_unreadable(cut: int) -> None:
    """A header that is not whole is refused, not guessed at."""
    with pytest.raises(ImageUnreadable):
        check_jpeg_2000(crafted.jpeg_2000_in_pieces(100)[:cut], LIMITS.max_pixels)
