"""Whether a face image is good enough to be compared: what is measured, the limits, and where they come from.

Measured on the 3,720 photographs of 1,504 people of Labeled Faces in the Wild that the project is tested with (250x250,
press photos; pack scrfd500m_mobilefacenet, detector 320): see docs/quality.md for the percentiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.errors import (
    FaceBlurred,
    FaceRejected,
    FaceTooBright,
    FaceTooDark,
    FaceTooSmall,
    FaceTurned,
)
from gerbang_service.domain.faces import Quality

# The nose tip stands out of the plane of the eyes by about half the distance between them, so a head turned by `yaw`
# shifts it by tan(yaw) / 2 of the eyes' apparent distance. Taken from the ArcFace alignment model's proportions; good
# to about ten degrees, which a limit of this coarseness allows.
_NOSE_DEPTH = 0.5


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """Limits of acceptance, in the units of Quality."""

    min_inter_eye_px: float
    min_sharpness: float
    min_brightness: float
    max_brightness: float
    max_yaw: float


# Rejected of those 3,720: 6 as probes (0.16 %), 46 at enrolment (1.2 %), most of both because they are turned away.
# ISO/IEC 19794-5 asks 90 px between the eyes of a passport portrait; recognisers align to 35 px (112x112 crops). Below
# half of that, detail is made up by interpolation.
PROBE = QualityLimits(
    min_inter_eye_px=16.0, min_sharpness=12.0, min_brightness=30.0, max_brightness=235.0, max_yaw=55.0
)
# An enrolled template is compared for years, so its photo must be better than a traveller's in passing.
ENROLMENT = QualityLimits(
    min_inter_eye_px=20.0, min_sharpness=20.0, min_brightness=35.0, max_brightness=230.0, max_yaw=45.0
)


def measure(landmarks: NDArray[np.float32], aligned: NDArray[np.uint8]) -> Quality:
    """Measure a face. `landmarks`: (5, 2) pixels of the image; `aligned`: BGR uint8 crop, square."""
    left_eye, right_eye, nose = (landmarks[i].astype(np.float64) for i in range(3))
    across = right_eye - left_eye
    inter_eye = float(np.hypot(*across))
    unit = across / max(inter_eye, 1e-6)
    offset = float((nose - (left_eye + right_eye) / 2) @ unit) / max(inter_eye, 1e-6)
    grey = cv2.cvtColor(aligned, cv2.COLOR_BGR2GRAY)
    if grey.shape != (112, 112):
        grey = cv2.resize(grey, (112, 112), interpolation=cv2.INTER_AREA)
    return Quality(
        inter_eye_px=inter_eye,
        sharpness=float(cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))[1][0, 0] ** 2),
        brightness=cv2.mean(grey)[0],
        yaw=math.degrees(math.atan(offset / _NOSE_DEPTH)),
        roll=math.degrees(math.atan2(across[1], across[0])),
    )


def check(quality: Quality, limits: QualityLimits) -> None:
    """Raise the rejection of the first limit that is not met, saying what was measured and what the limit is."""
    _at_least(FaceTooSmall, "distance between the eyes, px", quality.inter_eye_px, limits.min_inter_eye_px)
    _at_most(FaceTurned, "head turned aside, degrees", abs(quality.yaw), limits.max_yaw)
    _at_least(FaceTooDark, "mean brightness, of 255", quality.brightness, limits.min_brightness)
    _at_most(FaceTooBright, "mean brightness, of 255", quality.brightness, limits.max_brightness)
    _at_least(FaceBlurred, "sharpness", quality.sharpness, limits.min_sharpness)


def _at_least(rejection: type[FaceRejected], what: str, measured: float, limit: float) -> None:
    if not measured >= limit:
        raise rejection(f"{what}: {measured:.1f}, at least {limit:g}", measured=f"{measured:.1f}", limit=f"{limit:g}")


def _at_most(rejection: type[FaceRejected], what: str, measured: float, limit: float) -> None:
    if not measured <= limit:
        raise rejection(f"{what}: {measured:.1f}, at most {limit:g}", measured=f"{measured:.1f}", limit=f"{limit:g}")
