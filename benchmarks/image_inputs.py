"""Photographs for `benchmarks.images`, what the networks are fed of each, and what each stage costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from insightface.app import FaceAnalysis
from numpy.typing import NDArray

from gerbang_service.domain.errors import FaceRejected
from gerbang_service.domain.faces import FaceChoice
from gerbang_service.faces.alignment import align
from gerbang_service.faces.decode import ImageLimits, decode
from gerbang_service.faces.packs import FacePack, open_pack
from gerbang_service.faces.pipeline import InsightFacePipeline, choose, describe
from gerbang_service.faces.quality import PROBE

LIMITS = ImageLimits(10_000_000, 25_000_000)
SIZES = (160, 320, 480, 640)
_ROUNDS = 5
# Photographs whose detection is timed at each size.
_TIMED = 50


@dataclass(frozen=True, slots=True)
class Photo:
    """An image file, and what InsightFace would feed the two networks: float32 (1, 3, side, side) each."""

    file: bytes
    detector_input: NDArray[np.float32]
    recogniser_input: NDArray[np.float32]
    limits: ImageLimits = LIMITS


class RawNetworks:
    """ONNX Runtime and nothing else: both networks on ready inputs."""

    def __init__(self, detector: Any, recogniser: Any) -> None:  # noqa: ANN401 - ONNX Runtime is untyped
        self._detector, self._recogniser = detector, recogniser
        self._detector_input = detector.get_inputs()[0].name
        self._recogniser_input = recogniser.get_inputs()[0].name

    @classmethod
    def of(cls, pack: FacePack) -> RawNetworks:
        """Return the pack's own, single-threaded sessions."""
        return cls(pack.detector.session, pack.embedder.session)

    @classmethod
    def wide(cls, folder: Path, side: int, threads: int) -> RawNetworks:
        """Return sessions of several threads each, which wait as ONNX Runtime has it by default: in a loop."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        models = FaceAnalysis(
            str(folder),
            allowed_modules=["detection", "recognition"],
            providers=["CPUExecutionProvider"],
            sess_options=options,
        )
        models.prepare(0, det_size=(side, side))
        detector = models.det_model
        detector.detect(np.zeros((side, side, 3), np.uint8))
        return cls(detector.resolution_sessions[side, side], models.models["recognition"].session)

    def run(self, photo: Photo) -> None:
        """Detect and embed."""
        self._detector.run(None, {self._detector_input: photo.detector_input})
        self._recogniser.run(None, {self._recogniser_input: photo.recogniser_input})


def photographs(folder: Path, count: int) -> list[bytes]:
    """Return so many image files, evenly from all people."""
    paths = sorted(folder.glob("*/*.jpg"))
    return [path.read_bytes() for path in paths[:: max(1, len(paths) // count)][:count]]


def usable(pack: FacePack, files: Sequence[bytes]) -> list[Photo]:
    """Return the photographs that a gate would accept: each costs both networks."""
    pipeline = InsightFacePipeline(pack, LIMITS)
    photos = []
    for file in files:
        try:
            pipeline.extract(file, FaceChoice.LARGEST, PROBE, lambda: None)
        except FaceRejected:
            continue
        photos.append(_prepared(pack, file))
    return photos


def _prepared(pack: FacePack, file: bytes) -> Photo:
    pixels = decode(file, LIMITS)
    boxes, landmarks = pack.detector.detect(pixels)
    side = pack.detector.width
    scale = side / max(pixels.shape[:2])
    small = cv2.resize(pixels, (int(pixels.shape[1] * scale), int(pixels.shape[0] * scale)))
    square = np.zeros((side, side, 3), np.uint8)
    square[: small.shape[0], : small.shape[1]] = small
    crop = align(pixels, landmarks[choose(boxes, FaceChoice.LARGEST)], pack.embedder.side)
    return Photo(file, _blob(pack.detector.model, square), _blob(pack.embedder.model, crop))


def _blob(model: Any, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:  # noqa: ANN401 - InsightFace is untyped
    mean, size = (model.input_mean,) * 3, (pixels.shape[1], pixels.shape[0])
    blob = cv2.dnn.blobFromImage(pixels, 1 / model.input_std, size, mean, swapRB=True)
    return np.asarray(blob, np.float32)


def stages(pack: FacePack, photos: Sequence[Photo]) -> dict[str, float]:
    """Return the processor time of each stage, ms an image, one thread."""
    files = [photo.file for photo in photos]
    pixels = [decode(file, LIMITS) for file in files]
    found = []
    for image in pixels:
        boxes, landmarks = pack.detector.detect(image)
        chosen = choose(boxes, FaceChoice.LARGEST)
        found.append((image, boxes[chosen], landmarks[chosen]))
    crops = [align(image, landmarks, pack.embedder.side) for image, _, landmarks in found]
    described = [(box, landmarks, crop) for (_, box, landmarks), crop in zip(found, crops, strict=True)]
    networks = RawNetworks.of(pack)
    return {
        "decode": _cpu_ms(lambda file: decode(file, LIMITS), files),
        "detect": _cpu_ms(pack.detector.detect, pixels),
        "align": _cpu_ms(lambda each: align(each[0], each[2], pack.embedder.side), found),
        "measure": _cpu_ms(lambda each: describe(*each), described),
        "embed": _cpu_ms(lambda crop: pack.embedder.embed([crop]), crops),
        "embed, batches of 8": _cpu_ms(pack.embedder.embed, [crops[i : i + 8] for i in range(0, len(crops), 8)]) / 8,
        "both networks, raw": _cpu_ms(networks.run, photos),
    }


def _cpu_ms(work: Callable[[Any], Any], items: Sequence[Any]) -> float:
    times = []
    for _ in range(_ROUNDS):
        started = time.thread_time()
        for item in items:
            work(item)
        times.append((time.thread_time() - started) / len(items) * 1e3)
    return round(min(times), 3)


def detector_sizes(folder: Path, files: Sequence[bytes]) -> dict[str, dict[str, float]]:
    """Compare detector sizes: processor ms to detect, usable photographs, similarity to the largest's template."""
    pixels = [decode(file, LIMITS) for file in files]
    templates: dict[int, list[NDArray[np.float32] | None]] = {}
    cost: dict[int, float] = {}
    for side in SIZES:
        pack = open_pack(str(folder), side)
        pipeline = InsightFacePipeline(pack, LIMITS)
        templates[side] = [_template(pipeline, file) for file in files]
        cost[side] = _cpu_ms(pack.detector.detect, pixels[:_TIMED])
    return {str(side): _compared(templates[side], templates[SIZES[-1]], cost[side]) for side in SIZES}


def _template(pipeline: InsightFacePipeline, file: bytes) -> NDArray[np.float32] | None:
    try:
        return pipeline.extract(file, FaceChoice.LARGEST, PROBE, lambda: None).vector
    except FaceRejected:
        return None


def _compared(
    found: Sequence[NDArray[np.float32] | None], reference: Sequence[NDArray[np.float32] | None], cost: float
) -> dict[str, float]:
    both = [float(a @ b) for a, b in zip(found, reference, strict=True) if a is not None and b is not None]
    p01, median = np.percentile(both, [1, 50])
    return {
        "detect, processor ms": cost,
        "usable": sum(each is not None for each in found),
        "of": len(found),
        "similarity to the largest size, median": round(float(median), 4),
        "similarity to the largest size, 1st percentile": round(float(p01), 4),
    }
