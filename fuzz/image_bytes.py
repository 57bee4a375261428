"""Bytes of an image file -> pixels, as the server decodes them."""

from __future__ import annotations

from collections.abc import Iterator

import atheris

with atheris.instrument_imports(include=["PIL", "gerbang_service"]):
    from gerbang_service.domain.errors import ImageTooLarge, ImageUnreadable
    from gerbang_service.faces.decode import ImageLimits, decode

from fuzz.target import costly_seeds, run

# Of an input, bytes.
LONGEST = 16_384
# Smaller than a server's, as most of the time would go into pixels.
LIMITS = ImageLimits(max_bytes=10_000_000, max_pixels=500_000)


def one(data: bytes) -> None:
    """Decode: pixels within the limit, or one of two refusals."""
    try:
        pixels = decode(data, LIMITS)
    except (ImageUnreadable, ImageTooLarge):
        return
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert pixels.size <= 3 * LIMITS.max_pixels


def seeds() -> Iterator[bytes]:
    """Yield small files of every kind, and the crafted ones of the tests, as far as they are small."""
    from hostile.codestreams import of_hidden_style
    from hostile.small_files import SMALL
    from hostile.test_image_bombs import PROMISES

    for make in (*SMALL.values(), *PROMISES.values(), of_hidden_style):
        yield make()
    yield from costly_seeds(LONGEST)


if __name__ == "__main__":
    run("image_bytes", seeds, one, longest=LONGEST)
