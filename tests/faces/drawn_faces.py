"""What InsightFace finds with the stand-in pack in drawn pictures."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from gerbang_service.faces.standin.drawing import DrawnFace, Image, landmarks

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # InsightFace's own imports warn
    from insightface.app import FaceAnalysis
    from insightface.utils import face_align


class Found(Protocol):
    """What InsightFace says of a face."""

    kps: NDArray[np.float32]
    bbox: NDArray[np.float32]
    det_score: float
    normed_embedding: NDArray[np.float32]


def load(folder: Path, det_size: int) -> Any:
    """Load the pack in `folder` with InsightFace."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    app = FaceAnalysis(
        name=str(folder),
        allowed_modules=["detection", "recognition"],
        providers=["CPUExecutionProvider"],
        sess_options=options,
    )
    app.prepare(ctx_id=-1, det_thresh=0.5, det_size=(det_size, det_size))
    return app


def the_one(app: Any, image: Image) -> Found:
    """Return the only face in a picture."""
    faces: list[Found] = app.get(image)
    assert len(faces) == 1, f"{len(faces)} faces"
    return faces[0]


def aligned(image: Image, found: Found) -> Image:
    """Return a face's crop as InsightFace aligns it, 112 x 112 pixels."""
    crop: Image = face_align.norm_crop(image, found.kps)
    return crop


def landmark_error(found: Found, drawn: DrawnFace) -> float:
    """Return the largest distance of a landmark from where it was drawn, in pixels."""
    return float(np.hypot(*(found.kps - landmarks(drawn)).T).max())
