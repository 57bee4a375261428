"""A face pipeline without networks, for tests: it recognises pictures that it has made itself, and nothing else.

No setting leads here: whoever could choose it could be let in, or kept out, by a line of text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from gerbang_service.domain.errors import FaceRejected, ImageTooLarge, ImageUnreadable, NoFace, SeveralFaces
from gerbang_service.domain.faces import CaptureChain, DetectedFace, ExtractedFace, FaceChoice, Quality
from gerbang_service.faces.quality import QualityLimits, check

_BEGINNING = b"picture of nobody's face\n"
# Cosine of two pictures of one person: about 0.96.
_NOISE = 0.2


def picture(*people: int, inter_eye_px: float = 60.0, shot: int = 0) -> bytes:
    """Return a picture of these people, by number, side by side; of each person every `shot` is a little different.

    The first is the largest, with eyes so many pixels apart.
    """
    lines = [f"{number} {inter_eye_px / (1 + place)} {shot}" for place, number in enumerate(people)]
    return _BEGINNING + "\n".join(lines).encode()


class FakePipeline:
    """A FacePipeline of pictures by `picture`. `dimension`: of its templates; `max_bytes`: of the largest picture."""

    def __init__(self, dimension: int, max_bytes: int = 10_000) -> None:
        self._dimension = dimension
        self._max_bytes = max_bytes

    @property
    def chain(self) -> CaptureChain:
        """That of no pack."""
        return CaptureChain("0" * 64, 0, "none")

    def extract(
        self, image: bytes, choice: FaceChoice, limits: QualityLimits, before_stage: Callable[[], None]
    ) -> ExtractedFace:
        """Make a template, as FacePipeline says."""
        before_stage()
        if len(image) > self._max_bytes:
            raise ImageTooLarge(f"the picture has {len(image)} bytes, the limit is {self._max_bytes}")
        people = _read(image)
        if not people:
            raise NoFace("nobody is in the picture")
        if choice is FaceChoice.ONLY and len(people) > 1:
            raise SeveralFaces(f"{len(people)} are in the picture where one is needed", faces=len(people))
        number, inter_eye_px, shot = people[0]
        face = _face(inter_eye_px)
        try:
            check(face.quality, limits)
        except FaceRejected as rejection:
            rejection.face = face
            raise
        before_stage()
        return ExtractedFace(self._template(number, shot), face)

    def _template(self, number: int, shot: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        mean, noise = (_drawn(text, self._dimension) for text in (f"{number}", f"{number} {shot}"))
        vector = mean + _NOISE * noise
        return (vector / np.linalg.norm(vector)).astype(np.float32)


def _read(image: bytes) -> Sequence[tuple[int, float, int]]:
    if not image.startswith(_BEGINNING):
        raise ImageUnreadable("not a picture of this pipeline's own", bytes=len(image))
    try:
        fields = [line.split() for line in image[len(_BEGINNING) :].decode().splitlines()]
        return [(int(number), float(inter_eye_px), int(shot)) for number, inter_eye_px, shot in fields]
    except ValueError as error:
        raise ImageUnreadable("the picture is damaged", bytes=len(image)) from error


def _drawn(text: str, dimension: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(dimension)
    return vector / np.linalg.norm(vector)


def _face(inter_eye_px: float) -> DetectedFace:
    left, eyes = inter_eye_px, 2 * inter_eye_px
    landmarks = (
        *((left, eyes), (left + inter_eye_px, eyes), (1.5 * left, 2.6 * left)),
        *((1.1 * left, 3.1 * left), (1.9 * left, 3.1 * left)),
    )
    quality = Quality(inter_eye_px=inter_eye_px, sharpness=100.0, brightness=128.0, yaw=0.0, roll=0.0)
    return DetectedFace((0.5 * left, left, 2.5 * left, 3.7 * left), landmarks, 0.9, quality)
