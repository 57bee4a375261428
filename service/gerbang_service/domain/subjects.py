"""Subjects and what is known of their templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


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
class TemplateInfo:
    """A stored template without its vector. `model`: fingerprint of its recogniser."""

    template_id: int
    model: str
    create_time_ns: int
    quality: Quality | None


@dataclass(frozen=True, slots=True)
class Subject:
    """An enrolled person. Times are ns since the epoch, None for unbounded; `expire_time_ns` is exclusive."""

    subject_id: str
    watchlists: tuple[str, ...] = ()
    valid_from_ns: int | None = None
    expire_time_ns: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    templates: tuple[TemplateInfo, ...] = ()
    create_time_ns: int = 0
    update_time_ns: int = 0


@dataclass(frozen=True, slots=True)
class NewTemplate:
    """A template about to be stored. `vector`: float32, shape (dimension,), unit length."""

    vector: NDArray[np.float32]
    quality: Quality | None


@dataclass(frozen=True, slots=True)
class StoredSubject:
    """A subject as the gallery loads it. `subject_key`: the store's own; times as in Subject."""

    subject_key: int
    subject_id: str
    watchlists: tuple[str, ...]
    valid_from_ns: int | None
    expire_time_ns: int | None
    labels: Mapping[str, str]
    template_ids: tuple[int, ...]
