"""A face that was found in an image."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray


class FaceChoice(Enum):
    """Which of the faces in an image is meant: the one with the largest box, or the only one."""

    LARGEST = "largest"
    ONLY = "only"


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured of a face image.

    `inter_eye_px`: pixels, >= 0. `sharpness`: variance of the Laplacian of the aligned 112x112 grey crop, >= 0.
    `brightness`: mean luma of that crop, 0 to 255. `yaw`, `roll`: degrees.
    """

    inter_eye_px: float
    sharpness: float
    brightness: float
    yaw: float
    roll: float


@dataclass(frozen=True, slots=True)
class DetectedFace:
    """Coordinates are pixels of the image as displayed, origin top left.

    `box`: left, top, right, bottom. `landmarks`: five (x, y): the eye on the image's left, the other, nose tip, the
    mouth corner on the image's left, the other. `detection_score`: 0 to 1.
    """

    box: tuple[float, float, float, float]
    landmarks: tuple[tuple[float, float], ...]
    detection_score: float
    quality: Quality


@dataclass(frozen=True, slots=True)
class CaptureChain:
    """What stands between an image and the recogniser: similarities are measured for one such chain.

    `detector`: SHA-256 of its file, lower-case hexadecimal; `detector_size`: the side that images are scaled to for it,
    pixels; `alignment`: how a face is cut out, such as "arcface-112".
    """

    detector: str
    detector_size: int
    alignment: str

    def __str__(self) -> str:
        """Return it for people."""
        return f"detector {self.detector[:12]}... at {self.detector_size} px, {self.alignment}"


@dataclass(frozen=True, slots=True)
class ExtractedFace:
    """A face and its template. `vector`: float32, shape (dimension,), unit length."""

    vector: NDArray[np.float32]
    face: DetectedFace
