"""Photos that must be refused, made of good ones, whoever is in them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from gerbang_service.faces.standin.drawing import encode_jpeg


@dataclass(frozen=True, slots=True)
class Spoiled:
    """An image file that can't be used, what is wrong with it, and the reasons that say so.

    `at_enrolment`: only enrolment must refuse it.
    """

    what: str
    content: bytes
    reasons: tuple[str, ...]
    at_enrolment: bool = False


def spoiled_photos(one: bytes, other: bytes) -> tuple[Spoiled, ...]:
    """Spoil the photos of two people in all ways that the demo shows."""
    first, second = _pixels(one), _pixels(other)
    blurred = np.asarray(cv2.GaussianBlur(first, (0, 0), first.shape[1] / 45), dtype=np.uint8)
    dark = (first // 8).astype(np.uint8)
    empty = np.full_like(first, 190)
    together = np.hstack([first, np.asarray(cv2.resize(second, first.shape[1::-1]), dtype=np.uint8)])
    # Where a detector no longer finds the spoiled face, NO_FACE is as right.
    return (
        Spoiled("a photo of an empty room", encode_jpeg(empty), ("NO_FACE",)),
        Spoiled("a blurred photo", encode_jpeg(blurred), ("FACE_BLURRED", "NO_FACE")),
        Spoiled("a photo in the dark", encode_jpeg(dark), ("FACE_TOO_DARK", "NO_FACE")),
        Spoiled("half of a file", one[: len(one) // 2], ("IMAGE_UNREADABLE",)),
        Spoiled("a text", b"This is no photo.\n" * 40, ("IMAGE_UNREADABLE",)),
        Spoiled("a photo of two people", encode_jpeg(together), ("SEVERAL_FACES",), at_enrolment=True),
    )


def _pixels(photo: bytes) -> NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(photo, dtype=np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("the photo can't be decoded")
    return np.asarray(image, dtype=np.uint8)
