"""A face that was found in an image."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.subjects import Quality


class FaceChoice(Enum):
    """Which of the faces in an image is meant: the one with the largest box, or the only one."""

    LARGEST = "largest"
    ONLY = "only"


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
class ExtractedFace:
    """A face and its template. `vector`: float32, shape (dimension,), unit length."""

    vector: NDArray[np.float32]
    face: DetectedFace
