"""The stand-in face pack as a folder that InsightFace loads."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from gerbang_service.faces.standin.detector import build_detector
from gerbang_service.faces.standin.recogniser import build_recogniser

DETECTOR_FILE: Final = "det_standin.onnx"
RECOGNISER_FILE: Final = "w_standin.onnx"

STAND_IN_THRESHOLD: Final = 0.55
"""Cosine similarity from which on two drawn faces are taken for the same person.

Measured on `ordinary_scene` of identities 0..149 with seeds 0..3, detector input 320: genuine similarity
0.868 +- 0.051, lowest 0.602 (900 pairs); impostor 0.001 +- 0.120, highest 0.465 (178,800 pairs). So at 0.55 FMR and
FNMR are 0 of these pairs; at 0.45 FMR is 5.6e-6. No face went undetected (FTA 0 of 600).
"""


STAND_IN_POINTS: Final = (
    (1e-2, 0.2789),
    (1e-3, 0.3637),
    (1e-4, 0.4303),
    (1e-5, 0.4857),
    (3e-6, 0.5151),
    (1.2e-6, 0.5349),
)
"""False match rates, and the cosines that they are at.

Measured on `ordinary_scene` of identities 0..2999 with seeds 0 and 1, detector input 320: 17,994,000 impostor pairs, of
which the last point has 21 behind it; 5 reach 0.55. Genuine similarity of 3,000 pairs 0.865 +- 0.053, lowest 0.554.
"""


def stand_in_fingerprint() -> str:
    """Return the SHA-256 of the recogniser that `write_pack` writes, lower-case hexadecimal."""
    return hashlib.sha256(_content(build_recogniser())).hexdigest()


def write_pack(folder: Path) -> None:
    """Write detector and recogniser into `folder`, which is made if need be; always the same bytes.

    Raises `OSError` if the folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in ((DETECTOR_FILE, build_detector()), (RECOGNISER_FILE, build_recogniser())):
        (folder / name).write_bytes(_content(model))


def _content(model: Any) -> bytes:  # noqa: ANN401 - onnx is untyped
    content: bytes = model.SerializeToString(deterministic=True)
    return content
