"""Files that promise or unpack to huge pictures cost the server no memory."""

from __future__ import annotations

from pathlib import Path

import pytest

import gerbang
from gerbang import GateClient
from hostile import crafted
from hostile.bombs import METADATA_BOMBS
from pictures import photo
from running import RunningServer

PROMISES = {
    "PNG 100,000 x 100,000": lambda: crafted.png(100_000, 100_000),
    "PNG of the largest size": lambda: crafted.png(2**31 - 1, 2**31 - 1),
    "BMP 60,000 x 60,000": lambda: crafted.bmp(60_000, 60_000),
    "BMP of the largest size": lambda: crafted.bmp(2**31 - 1, 2**31 - 1),
    "BMP of negative size": lambda: crafted.bmp(-60_000, -60_000),
    "WebP 16,383 x 16,383": lambda: crafted.webp(16_383, 16_383),
    "WebP canvas 65,000 x 65,000": lambda: crafted.webp_canvas(65_000, 65_000),
    "WebP canvas 16,777,216 x 200": lambda: crafted.webp_canvas(2**24, 200),
    "JPEG 65,535 x 65,535": lambda: crafted.jpeg_of_size(photo(1), 65_535, 65_535),
    "JPEG 2000 60,000 x 60,000": lambda: crafted.jpeg_2000(60_000, 60_000),
    "JPEG 2000 of the largest size": lambda: crafted.jpeg_2000(2**32 - 1, 2**32 - 1),
    "JPEG 2000 of 25 million tiles": lambda: crafted.jpeg_2000(5000, 5000, tile=1),
    "JP2 that lies about its size": lambda: crafted.jp2(crafted.jpeg_2000(20000, 20000), 30, 30),
    "JP2 60,000 x 60,000": lambda: crafted.jp2(crafted.jpeg_2000(60_000, 60_000), 60_000, 60_000),
}


def peak_mb(pid: int) -> int:
    """Return the most memory that a process had at once since the last `forget_peak`, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    raise AssertionError("no VmHWM")


def forget_peak(pid: int) -> None:
    """Let `peak_mb` begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def test_small_files_that_promise_huge_pictures_cost_nothing(server: RunningServer, gate: GateClient) -> None:
    """A header of billions of pixels is IMAGE_TOO_LARGE, or UNREADABLE, before any memory is taken for them."""
    forget_peak(server.pid)
    before = peak_mb(server.pid)
    reasons = {}
    for kind, make in PROMISES.items():
        content = make()
        assert len(content) < 20_000
        with pytest.raises(gerbang.ImageRejected) as caught:
            gate.identify(content)
        reasons[kind] = caught.value.reason
    assert reasons == dict.fromkeys(PROMISES, "IMAGE_TOO_LARGE")
    assert peak_mb(server.pid) - before < 50


def test_bombs_in_metadata_and_pixels_cost_nothing(server: RunningServer, gate: GateClient) -> None:
    """Chunks that unpack to a hundred megabytes are not unpacked."""
    bombs = [make() for make in METADATA_BOMBS.values()]
    bombs.append(crafted.png(300, 400, pixels=bytes(100_000_000)))
    forget_peak(server.pid)
    before = peak_mb(server.pid)
    answers = gate.identify_batch(bombs)
    assert len(answers) == 4
    assert all(each.HasField("error") for each in answers)
    assert peak_mb(server.pid) - before < 50
