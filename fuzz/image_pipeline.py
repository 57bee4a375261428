"""Bytes of an image file -> a template: decode, detect, choose, check, align and embed, with the stand-in pack."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import atheris

with atheris.instrument_imports(include=["PIL", "gerbang_service"]):
    from gerbang_service.domain.errors import FaceRejected, ImageTooLarge, ImageUnreadable
    from gerbang_service.domain.faces import FaceChoice
    from gerbang_service.faces.decode import ImageLimits
    from gerbang_service.faces.packs import open_pack
    from gerbang_service.faces.pipeline import InsightFacePipeline
    from gerbang_service.faces.quality import ENROLMENT, PROBE

import numpy as np

from fuzz.target import costly_seeds, run

# Of an input, bytes.
LONGEST = 65_536


@cache
def pipeline() -> InsightFacePipeline:
    """Open the pack, once."""
    return InsightFacePipeline(open_pack("stand-in", 320, "cpu", 1), ImageLimits(10_000_000, 500_000))


def one(data: bytes) -> None:
    """Make a template: of unit length, or a refusal. The last byte says which face and which limits."""
    choice = FaceChoice.ONLY if data[-1:] < b"\x80" else FaceChoice.LARGEST
    try:
        extracted = pipeline().extract(data, choice, ENROLMENT if choice is FaceChoice.ONLY else PROBE, lambda: None)
    except (ImageUnreadable, ImageTooLarge, FaceRejected):
        return
    assert abs(float(np.linalg.norm(extracted.vector)) - 1) < 1e-4


def seeds() -> Iterator[bytes]:
    """Yield photos with a face, small files, and the crafted ones of the tests."""
    from hostile.person import person
    from hostile.small_files import SMALL
    from pictures import saved

    for kind in ("JPEG", "WEBP", "JPEG2000"):
        yield saved(person(), kind)
    for make in SMALL.values():
        yield make()
    yield from costly_seeds(LONGEST)


if __name__ == "__main__":
    run("image_pipeline", seeds, one, longest=LONGEST)
