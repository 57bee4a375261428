"""One photograph -> one template, a stage at a time: decode, detect, choose, check, align, embed."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gerbang_service.configuration.settings import CPU
from gerbang_service.domain.errors import FaceRejected, NoFace, SeveralFaces
from gerbang_service.domain.faces import CaptureChain, DetectedFace, ExtractedFace, FaceChoice
from gerbang_service.faces.alignment import align
from gerbang_service.faces.batching import Batches
from gerbang_service.faces.decode import ImageLimits, decode
from gerbang_service.faces.packs import FacePack
from gerbang_service.faces.quality import QualityLimits, check, measure
from gerbang_service.telemetry.meter import ALIGN, DECODE, DETECT, EMBED, UNMETERED, Meter

# Crops in one run of the recogniser on a GPU, at most; bounds its memory. Not measured: no GPU was at hand.
_LARGEST_BATCH = 32
# An image is alone when there was no other for so long, seconds: under load, one is alone for a moment whenever another
# ends.
_CALM_S = 0.1


class InsightFacePipeline:
    """A FacePipeline of a face pack; its templates equal those of InsightFace's own FaceAnalysis.get on that pack."""

    def __init__(self, pack: FacePack, image_limits: ImageLimits, meter: Meter = UNMETERED) -> None:
        self._pack = pack
        self._image_limits = image_limits
        self._meter = meter
        self._in_flight = _InFlight()
        # On a CPU a batch takes as long as its crops one by one (docs/images.md), so each thread runs its own.
        largest = _LARGEST_BATCH if pack.embedder.takes_batches else 1
        self._batches = None if pack.device == CPU else Batches(pack.embedder.embed, largest)

    @property
    def chain(self) -> CaptureChain:
        """That of the pack."""
        return self._pack.chain

    def extract(
        self, image: bytes, choice: FaceChoice, limits: QualityLimits, before_stage: Callable[[], None]
    ) -> ExtractedFace:
        """Make a template of an image file, as FacePipeline says."""
        stage = self._meter.stage
        with self._in_flight, self._meter.image():
            before_stage()
            with stage(DECODE):
                pixels = decode(image, self._image_limits)
            before_stage()
            with stage(DETECT):
                boxes, landmarks = self._detect(pixels)
            chosen = choose(boxes, choice)
            with stage(ALIGN):
                aligned = align(pixels, landmarks[chosen], self._pack.embedder.side)
                face = describe(boxes[chosen], landmarks[chosen], aligned)
            try:
                check(face.quality, limits)
            except FaceRejected as rejection:
                rejection.face = face
                raise
            before_stage()
            with stage(EMBED):
                return ExtractedFace(self._embed(aligned), face)

    def _detect(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        boxes, landmarks = self._pack.detector.detect(pixels, alone=self._in_flight.alone)
        if not len(boxes):
            height, width = pixels.shape[:2]
            raise NoFace(f"no face was found in the image of {width} x {height} pixels", width=width, height=height)
        return boxes, landmarks

    def _embed(self, aligned: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self._batches is not None:
            return self._batches.ask(aligned)
        return self._pack.embedder.embed([aligned], alone=self._in_flight.alone)[0]


class _InFlight:
    """Counts the images that are being processed."""

    def __init__(self) -> None:
        self._count = 0
        self._crowded_at = -math.inf
        self._lock = threading.Lock()

    @property
    def alone(self) -> bool:
        """Whether there is one at most, and not only between two others."""
        return self._count <= 1 and time.monotonic() - self._crowded_at > _CALM_S

    def __enter__(self) -> None:
        with self._lock:
            self._count += 1
            self._note()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._note()
            self._count -= 1

    def _note(self) -> None:
        if self._count > 1:
            self._crowded_at = time.monotonic()


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
