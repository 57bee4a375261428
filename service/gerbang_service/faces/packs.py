"""Face packs: a detector and a recogniser in InsightFace's format, loaded by InsightFace, run by ONNX Runtime."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from gerbang_service.domain.errors import StartupError
from gerbang_service.faces.standin import write_pack
from gerbang_service.settings import STAND_IN

log = logging.getLogger(__name__)

# InsightFace's own default for what counts as a face.
DETECTION_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class FacePack:
    """A loaded pack. `detector` and `recogniser` are InsightFace's; both may be called by several threads.

    `fingerprint`: SHA-256 of the recogniser's file, lower-case hexadecimal; `dimension`: of its templates.
    """

    name: str
    fingerprint: str
    dimension: int
    detector: Any
    recogniser: Any


def open_pack(name_or_folder: str, det_size: int) -> FacePack:
    """Load a face pack.

    `name_or_folder`: a folder is used as it is; 'stand-in' is built on the spot; any other name is found in, or
    fetched by InsightFace into, its own model folder. `det_size`: side of the detector's input, pixels.
    Raises StartupError when there is no such pack, or it lacks a detector or a recogniser, or can't be run.
    """
    if name_or_folder == STAND_IN:
        with tempfile.TemporaryDirectory(prefix="gerbang-stand-in-") as folder:
            write_pack(Path(folder))
            return _load(STAND_IN, folder, det_size)
    path = Path(name_or_folder).expanduser()
    if path.is_dir():
        return _load(path.resolve().name, str(path), det_size)
    if os.sep in name_or_folder or name_or_folder.startswith(("~", ".")):
        raise StartupError(f"face pack {name_or_folder}: no such folder")
    return _load(name_or_folder, name_or_folder, det_size)


def _load(name: str, source: str, det_size: int) -> FacePack:
    # Imported here: it takes seconds, which a server of templates only does not owe.
    from insightface.app import FaceAnalysis  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    # Images are processed side by side, one thread each: faster than one image by all threads, and the pool is sized
    # from the CPU quota, which ONNX Runtime does not know (insightface issue 2899).
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        analysis = FaceAnalysis(
            name=source,
            allowed_modules=["detection", "recognition"],
            providers=["CPUExecutionProvider"],
            sess_options=options,
        )
        analysis.prepare(ctx_id=0, det_thresh=DETECTION_THRESHOLD, det_size=(det_size, det_size))
    except Exception as error:
        reason = str(error) or "it has no detector in InsightFace's format"
        raise StartupError(f"face pack {name} can't be loaded: {reason}") from error
    recogniser = analysis.models.get("recognition")
    if recogniser is None:
        raise StartupError(f"face pack {name} has no recogniser in InsightFace's format")
    dimension = _try_out(name, analysis.det_model, recogniser)
    fingerprint = hashlib.sha256(Path(recogniser.model_file).read_bytes()).hexdigest()
    return FacePack(name, fingerprint, dimension, analysis.det_model, recogniser)


def _try_out(name: str, detector: Any, recogniser: Any) -> int:  # noqa: ANN401 - InsightFace is untyped
    """Run both models once, so that a pack that can't work is refused at start, and return the dimension."""
    try:
        _, landmarks = detector.detect(np.zeros((64, 64, 3), np.uint8))
        side = int(recogniser.input_size[0])
        dimension = int(recogniser.get_feat(np.zeros((side, side, 3), np.uint8)).shape[-1])
    except Exception as error:
        raise StartupError(f"face pack {name} can't be run: {error}") from error
    if landmarks is None:
        raise StartupError(f"face pack {name}: its detector gives no landmarks, so faces can't be aligned")
    return dimension
