"""How many people a plan misses, measured on the live gallery with probes made at known similarities."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.questions import Answer, Everybody, Plan, Question
from gerbang_service.domain.thresholds import Rule
from gerbang_service.gallery.gallery import Gallery

# A probe's noise is a random mixture of so many other templates: of the gallery's own covariance, and near to none.
_MIXED = 64


@dataclass(frozen=True, slots=True)
class Recall:
    """How a plan did. `probes`: those whose own template is the most similar of all; `missed` of them. Times: us."""

    plan: Plan
    similarity: float
    probes: int
    missed: int
    median_us: float
    p99_us: float


@dataclass(frozen=True, slots=True)
class RecallQuestion:
    """What to measure. `sample`: templates to make probes for; `similarities`: cosines, above 0 and below 1."""

    sample: int
    similarities: Sequence[float]
    plans: Sequence[Plan]


def measure_recall(gallery: Gallery, wanted: RecallQuestion, before_search: Callable[[], None]) -> list[Recall]:
    """Measure the plans, one search at a time; `before_search` may raise to give up.

    Blocks for minutes when the gallery is large: every probe is also searched exactly, to know who could be found.
    """
    random = np.random.default_rng()
    measured: list[Recall] = []
    for similarity in wanted.similarities:
        mated = []
        for mate in _mates(gallery, wanted.sample, similarity, random):
            before_search()
            found, _ = _timed(gallery, mate.probe, Plan.EXACT)
            if mate.template_id in found[:1]:
                mated.append(mate)
        measured += [_measure(gallery, plan, similarity, mated, before_search) for plan in wanted.plans]
    return measured


@dataclass(frozen=True, slots=True, eq=False)
class _Mate:
    """An enrolled template and a probe that is so similar to it. `probe`: float32 (dimension,), unit length."""

    subject_id: str
    template_id: int
    probe: NDArray[np.float32]


def _measure(
    gallery: Gallery,
    plan: Plan,
    similarity: float,
    mated: Sequence[_Mate],
    before_search: Callable[[], None],
) -> Recall:
    missed, times = 0, []
    for mate in mated:
        before_search()
        found, elapsed = _timed(gallery, mate.probe, plan)
        times.append(elapsed)
        # Deleted since the probe was made: nobody's miss.
        missed += mate.template_id not in found and mate.template_id in (gallery.template_ids(mate.subject_id) or ())
    median, p99 = np.percentile(times, [50, 99]) * 1e6 if times else (0.0, 0.0)
    return Recall(plan, similarity, len(mated), missed, float(median), float(p99))


def _timed(gallery: Gallery, probe: NDArray[np.float32], plan: Plan) -> tuple[list[int], float]:
    # As a gate searches, for those above a threshold; the lowest similarity asked for is well above this one.
    question = Question(probe, Everybody(Rule(0.2)), 5, plan)
    started = time.perf_counter()
    (asked,) = gallery.search([question])
    elapsed = time.perf_counter() - started
    if not isinstance(asked, Answer):
        raise asked
    return [each.template_id for each in asked.candidates], elapsed


def _mates(gallery: Gallery, sample: int, similarity: float, random: np.random.Generator) -> list[_Mate]:
    """Return probes for templates drawn at random: similarity * mate + the rest in a direction across the mate."""
    others = np.array([vector for _, _, vector in gallery.sample(_MIXED * _MIXED, random)])
    mates = []
    for subject_id, template_id, vector in gallery.sample(sample, random) if len(others) > 1 else ():
        mate = vector.astype(np.float64)
        mixed = others[random.choice(len(others), min(_MIXED, len(others)))]
        noise = random.standard_normal(len(mixed)) @ mixed
        noise -= (noise @ mate) * mate
        length = float(np.linalg.norm(noise))
        if length < 1e-6:
            continue
        probe = similarity * mate + np.sqrt(1 - similarity**2) * noise / length
        mates.append(_Mate(subject_id, template_id, probe.astype(np.float32)))
    return mates
