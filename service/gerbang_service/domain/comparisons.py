"""What is asked of the comparisons, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.decision import Candidate
from gerbang_service.domain.faces import DetectedFace
from gerbang_service.domain.samples import Sample
from gerbang_service.domain.watchlists import Direction
from gerbang_service.gallery.search import Plan


@dataclass(frozen=True, slots=True)
class Features:
    """What a sample was reduced to. `face` is None for a sample that came as a template."""

    vector: NDArray[np.float32]
    face: DetectedFace | None


@dataclass(frozen=True, slots=True)
class Search1N:
    """A 1:N search as it was asked for; None: the server's default. `max_candidates` is at least 1."""

    probe: Sample
    watchlists: tuple[str, ...]
    direction: Direction
    max_candidates: int
    threshold: float | None
    plan: Plan | None
    min_revision: int


@dataclass(frozen=True, slots=True)
class Identification:
    """The outcome of a 1:N search."""

    candidates: list[Candidate]
    threshold: float
    probe_face: DetectedFace | None
    plan: Plan
    gallery_size: int
    revision: int


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of a 1:1 comparison. `template_id` is None when the reference was a sample."""

    match: bool
    similarity: float
    threshold: float
    template_id: int | None
    probe_face: DetectedFace | None
    reference_face: DetectedFace | None


@dataclass(frozen=True, slots=True)
class Defaults:
    """What applies where a request does not say. Thresholds are cosines."""

    identification_threshold: float
    verification_threshold: float
    plan: Plan
