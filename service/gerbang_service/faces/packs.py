"""Face packs: a detector and a recogniser in InsightFace's format, loaded by InsightFace, run by ONNX Runtime."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import onnxruntime

from gerbang_service.configuration.settings import CPU, CUDA, STAND_IN
from gerbang_service.domain.errors import StartupError
from gerbang_service.domain.faces import CaptureChain
from gerbang_service.faces.detector import Detector
from gerbang_service.faces.embedder import Embedder
from gerbang_service.faces.recognisers import require_one_recogniser
from gerbang_service.faces.standin import write_pack

# InsightFace's own default for what counts as a face.
DETECTION_THRESHOLD = 0.5

# Images are processed side by side, one thread each: more of them a second than one after the other by all threads,
# whose number ONNX Runtime would take from the host and not from the CPU quota (insightface issue 2899). An image that
# is alone is given several. Two were measured (docs/images.md); more than 4 were not tried.
_MOST_THREADS = 4

# Microseconds: longer than what one thread has to do alone between two operations of a network.
_SPIN_US = 50

# Those of InsightFace's model zoo that have a detector and a recogniser of faces, and where it keeps them.
_FETCHED = ("antelopev2", "buffalo_l", "buffalo_m", "buffalo_s", "buffalo_sc", "raccoon_l", "raccoon_s")
_MODELS = Path("~/.insightface/models")

_PROVIDERS = {CPU: "CPUExecutionProvider", CUDA: "CUDAExecutionProvider"}


@dataclass(frozen=True, slots=True)
class FacePack:
    """A loaded pack. `detector` and `embedder` may be called by several threads, each by one thread or `alone` by more.

    `fingerprint`: SHA-256 of the recogniser's file, lower-case hexadecimal; `dimension`: of its templates;
    `device`: what both run on; `chain`: what stands before the recogniser.
    """

    name: str
    fingerprint: str
    dimension: int
    device: str
    detector: Detector
    embedder: Embedder
    chain: CaptureChain


def open_pack(name_or_folder: str, det_size: int, device: str = CPU, threads: int = 1) -> FacePack:
    """Load a face pack.

    `name_or_folder`: a folder is used as it is; 'stand-in' is built on the spot; any other name is found in, or
    fetched by InsightFace into, its own model folder. `det_size`: side of the detector's input, pixels.
    `device`: 'cpu' or 'cuda'. Raises StartupError when there is no such pack, or it lacks a detector or a recogniser,
    has several recognisers or one that faces can't be aligned for, or can't be run on that device: nothing else is
    ever used instead. `threads`: those that an image may use while
    it is the only one, at least 1; more than 4 are not used.
    """
    if _PROVIDERS[device] not in onnxruntime.get_available_providers():
        raise StartupError(
            f"device {device}: the installed ONNX Runtime can't use it; install onnxruntime-gpu in place of onnxruntime"
        )
    if name_or_folder == STAND_IN:
        with tempfile.TemporaryDirectory(prefix="gerbang-stand-in-") as folder:
            write_pack(Path(folder))
            return _load(STAND_IN, folder, det_size, device, threads)
    if has_to_be_fetched(name_or_folder):
        _fetch(name_or_folder)
    path = Path(name_or_folder).expanduser()
    if path.is_dir():
        return _load(path.resolve().name, str(path), det_size, device, threads)
    return _load(name_or_folder, name_or_folder, det_size, device, threads)


def has_to_be_fetched(name_or_folder: str) -> bool:
    """Tell whether a pack that `open_pack` takes is not on this machine yet; raise StartupError when there is none."""
    if name_or_folder == STAND_IN or Path(name_or_folder).expanduser().is_dir():
        return False
    if os.sep in name_or_folder or name_or_folder.startswith(("~", ".")):
        raise StartupError(f"face pack {name_or_folder}: no such folder")
    if (_MODELS / name_or_folder).expanduser().is_dir():
        return False
    if name_or_folder not in _FETCHED:
        raise StartupError(
            f"face pack {name_or_folder}: no such folder, here or in {_MODELS}, and none of InsightFace's own packs "
            f"({', '.join(_FETCHED)})"
        )
    return True


def _fetch(name: str) -> None:
    from insightface.utils import ensure_available  # noqa: PLC0415 - it takes seconds, as below

    try:
        # It prints, and what a server prints is for who started it: that it listens.
        with redirect_stdout(sys.stderr):
            ensure_available("models", name)
    except Exception as error:
        raise StartupError(
            f"face pack {name} can't be fetched ({type(error).__name__}): without a network put its folder, from a "
            f"machine with one, into {_MODELS}"
        ) from error


def _load(name: str, source: str, det_size: int, device: str, threads: int) -> FacePack:
    detection, recognition = _models(name, source, det_size, device, 1)
    require_one_recogniser(name, recognition)
    threads = min(threads, _MOST_THREADS) if device == CPU else 1
    wide = _models(name, source, det_size, device, threads) if threads > 1 else (detection, recognition)
    try:
        detector, embedder = Detector(detection, wide[0]), Embedder(recognition, wide[1])
    except Exception as error:
        raise StartupError(f"face pack {name} can't be run: {error}") from error
    if not detector.has_landmarks:
        raise StartupError(f"face pack {name}: its detector gives no landmarks, so faces can't be aligned")
    for session in (detector.session, detector.wide_session, embedder.session, embedder.wide_session):
        require_device(session, device)
    fingerprint = _sha256(recognition.model_file)
    chain = CaptureChain(_sha256(detection.model_file), detector.width, f"arcface-{embedder.side}")
    return FacePack(name, fingerprint, embedder.dimension, device, detector, embedder, chain)


def _sha256(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _models(name: str, source: str, det_size: int, device: str, threads: int) -> tuple[Any, Any]:
    """Return InsightFace's detector and recogniser, each run by so many threads."""
    # Imported here: it takes seconds, which a server of templates only does not owe.
    from insightface.app import FaceAnalysis  # noqa: PLC0415

    # OpenCV's own threads are one more pool as wide as the machine, for work of a tenth of a millisecond.
    cv2.setNumThreads(1)
    try:
        analysis = FaceAnalysis(
            name=source,
            allowed_modules=["detection", "recognition"],
            providers=[_PROVIDERS[device]],
            sess_options=_session_options(threads),
        )
        analysis.prepare(ctx_id=0, det_thresh=DETECTION_THRESHOLD, det_size=(det_size, det_size))
    except Exception as error:
        reason = str(error) or "it has no detector in InsightFace's format"
        raise StartupError(f"face pack {name} can't be loaded: {reason}") from error
    recognition = analysis.models.get("recognition")
    if recognition is None:
        raise StartupError(f"face pack {name} has no recogniser in InsightFace's format")
    return analysis.det_model, recognition


def _session_options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Threads that wait for work in a loop take the processors from everything else. Those of an image that is alone do
    # so from one operation to the next, as waking them costs more than most operations, and no longer (docs/images.md).
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(threads > 1)))
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(_SPIN_US))
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3
    return options


def require_device(session: Any, device: str) -> None:  # noqa: ANN401 - ONNX Runtime is untyped
    """Raise StartupError when a session does not run on `device`, and keep it from leaving it later.

    Where ONNX Runtime can't make a session for the provider that it was asked for, it makes one for the CPU.
    """
    used = session.get_providers()
    if used[0] != _PROVIDERS[device]:
        raise StartupError(
            f"device {device}: ONNX Runtime fell back to {used[0]}; check that onnxruntime-gpu, the driver, CUDA and "
            "cuDNN are of versions that go together"
        )
    session.disable_fallback()
