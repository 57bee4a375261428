"""The orientation that a camera noted is that of the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gerbang import GateClient
from hostile import crafted
from hostile.person import LIST, person, pixels
from pictures import saved


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_honoured(gate: GateClient, kind: str, orientation: int) -> None:
    """However the camera was held, template and landmarks are those of the upright photo, as displayed."""
    known: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 97, "subsampling": 0},
        "PNG": {},
        "WEBP": {"lossless": True},
    }
    options = known[kind]
    stored = crafted.stored_for(orientation, pixels())
    turned = gate.extract(saved(stored, kind, exif=crafted.exif(orientation), **options))
    upright = gate.extract(saved(person(), "PNG"))
    similarity = np.dot(*(np.frombuffer(each.template.vector, "<f4") for each in (turned, upright)))
    assert similarity > (0.99 if kind == "JPEG" else 0.9999)
    for point, expected in zip(turned.face.landmarks, upright.face.landmarks, strict=True):
        assert np.hypot(point.x - expected.x, point.y - expected.y) < (2 if kind == "JPEG" else 0.01)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientation_that_does_not_exist_is_upright(gate: GateClient, orientation: int) -> None:
    """A number that is no orientation leaves the picture as it is."""
    metadata = crafted.exif(orientation)
    answer = gate.identify(saved(person(), "PNG", exif=metadata), watchlists=[LIST])
    assert answer.hit
