"""One photograph -> one template, a stage at a time: decode, detect, choose, check, align, embed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from insightface.utils import face_align
from numpy.typing import NDArray

from gerbang_service.domain.errors import FaceRejected, NoFace, SeveralFaces
from gerbang_service.domain.faces import DetectedFace, ExtractedFace, FaceChoice
from gerbang_service.faces.decode import ImageLimits, decode
from gerbang_service.faces.packs import FacePack
from gerbang_service.faces.quality import QualityLimits, check, measure


class FacePipeline(Protocol):
    """The seam between the service and whatever makes templates of images. Thread-safe."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the recogniser, lower-case hexadecimal."""

    @property
    def dimension(self) -> int:
        """Dimension of the templates."""

    def extract(
        self, image: bytes, choice: FaceChoice, limits: QualityLimits, before_stage: Callable[[], None]
    ) -> ExtractedFace:
        """Make a template of an image file.

        `before_stage` is called before every expensive stage and may raise to give up. Raises ImageUnreadable,
        ImageTooLarge, or a FaceRejected that says what was measured.
        """


class InsightFacePipeline:
    """Runs a face pack; the template equals that of InsightFace's own FaceAnalysis.get on the same pack."""

    def __init__(self, pack: FacePack, image_limits: ImageLimits) -> None:
        self._pack = pack
        self._image_limits = image_limits

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the recogniser, lower-case hexadecimal."""
        return self._pack.fingerprint

    @property
    def dimension(self) -> int:
        """Dimension of the templates."""
        return self._pack.dimension

    def extract(
        self, image: bytes, choice: FaceChoice, limits: QualityLimits, before_stage: Callable[[], None]
    ) -> ExtractedFace:
        """Make a template of an image file, as FacePipeline says."""
        before_stage()
        pixels = decode(image, self._image_limits)
        before_stage()
        boxes, landmarks = self._detect(pixels)
        chosen = choose(boxes, choice)
        aligned = self._align(pixels, landmarks[chosen])
        face = describe(boxes[chosen], landmarks[chosen], aligned)
        try:
            check(face.quality, limits)
        except FaceRejected as rejection:
            rejection.face = face
            raise
        before_stage()
        return ExtractedFace(self._embed(aligned), face)

    def _detect(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        height, width = pixels.shape[:2]
        side = self._pack.detector.input_size[0]
        if min(height, width) * side < max(height, width):
            # Scaled into the detector's square, the shorter side would be less than a pixel.
            raise NoFace(f"no face was found in the image of {width} x {height} pixels")
        boxes, landmarks = self._pack.detector.detect(pixels)
        if not len(boxes):
            raise NoFace(f"no face was found in the image of {width} x {height} pixels", width=width, height=height)
        return boxes, landmarks

    def _align(self, pixels: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
        side = self._pack.recogniser.input_size[0]
        aligned: NDArray[np.uint8] = face_align.norm_crop(pixels, landmark=landmarks, image_size=side)
        return aligned

    def _embed(self, aligned: NDArray[np.uint8]) -> NDArray[np.float32]:
        embedding = self._pack.recogniser.get_feat(aligned).ravel().astype(np.float64)
        unit: NDArray[np.float32] = (embedding / np.linalg.norm(embedding)).astype(np.float32)
        return unit


def choose(boxes: NDArray[np.float32], choice: FaceChoice) -> int:
    """Return the index of the face that is meant. `boxes`: (n, >= 4), n >= 1. Raises SeveralFaces."""
    if choice is FaceChoice.ONLY and len(boxes) > 1:
        raise SeveralFaces(f"{len(boxes)} faces were found where exactly one is needed", faces=len(boxes))
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return int(np.argmax(areas))


def describe(box: NDArray[np.float32], landmarks: NDArray[np.float32], aligned: NDArray[np.uint8]) -> DetectedFace:
    """Make a DetectedFace of the detector's rows and measure it. `box`: (5,), the last its score."""
    left, top, right, bottom, score = (float(each) for each in box)
    points = tuple((float(x), float(y)) for x, y in landmarks)
    return DetectedFace((left, top, right, bottom), points, score, measure(landmarks, aligned))
