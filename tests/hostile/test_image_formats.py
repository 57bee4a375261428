"""Every kind of image file, as cameras and odd programs make them, is seen for what it shows."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import gerbang
from gerbang import GateClient
from gerbang_service.faces.decode import ImageLimits, decode
from hostile.person import LIST, SUBJECT, person, pixels
from hostile.readable import READABLE, see_through
from pictures import saved

LIMITS = ImageLimits(max_bytes=10_000_000, max_pixels=25_000_000)


def grey_16() -> Image.Image:
    """Return the person as 16-bit grey picture."""
    grey = np.asarray(person().convert("L")).astype(np.uint16)
    return Image.fromarray(grey * 257)


@pytest.mark.parametrize("kind", READABLE)
def test_person_is_found_in_every_kind_of_file(gate: GateClient, kind: str) -> None:
    """The enrolled person is identified in every supported format and variant."""
    answer = gate.identify(READABLE[kind](), watchlists=[LIST])
    assert [each.subject_id for each in answer.candidates] == [SUBJECT]


GREY = {
    "grey JPEG": lambda: saved(person().convert("L"), "JPEG", quality=98),
    "grey PNG": lambda: saved(person().convert("L"), "PNG"),
    "16-bit grey PNG": lambda: saved(grey_16(), "PNG"),
    "grey PNG with alpha": lambda: saved(person().convert("LA"), "PNG"),
    "grey JPEG 2000": lambda: saved(person().convert("L"), "JPEG2000"),
    "16-bit grey JPEG 2000": lambda: saved(grey_16(), "JPEG2000"),
}


@pytest.mark.parametrize("kind", GREY)
def test_grey_pictures_are_decoded_to_their_grey(kind: str) -> None:
    """A grey picture of 8 or 16 bits has the same pixels as its conversion to colour, to the rounding."""
    expected = np.asarray(person().convert("L")).astype(int)
    decoded = decode(GREY[kind](), LIMITS).astype(int)
    assert decoded.shape == (*expected.shape, 3)
    assert np.abs(decoded - expected[:, :, None]).max() <= (4 if kind == "grey JPEG" else 1)


@pytest.mark.parametrize("kind", GREY)
def test_grey_pictures_are_answered(gate: GateClient, kind: str) -> None:
    """A grey picture is looked at like any other: drawn faces are told by their colours, so there is none in it."""
    with pytest.raises(gerbang.NoFace):
        gate.identify(GREY[kind]())


def test_transparent_parts_are_white() -> None:
    """What is under transparent pixels does not count: they are white."""
    decoded = decode(saved(see_through(), "PNG"), LIMITS)
    assert (decoded[:8] == 255).all()
    assert np.array_equal(decoded[8:], pixels()[8:, :, ::-1])


@pytest.mark.parametrize(
    "size",
    [(1, 1), (2, 2), (1, 300), (300, 1), (1, 5_000_000), (65_000, 3), (20, 6400), (20, 6399), (20, 6401), (6400, 20)],
    ids=str,
)
def test_pictures_of_odd_shapes_have_no_face(gate: GateClient, size: tuple[int, int]) -> None:
    """A single pixel and the thinnest strips, at and around what the detector can scale, are NO_FACE."""
    with pytest.raises(gerbang.NoFace):
        gate.identify(saved(Image.new("RGB", size, "grey"), "PNG"))
