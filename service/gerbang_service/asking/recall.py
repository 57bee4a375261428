"""How many people a plan misses, measured on the live gallery with probes made at known similarities."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.decision import Candidate, Comparison
from gerbang_service.domain.questions import Plan
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.gallery.search import Query
from gerbang_service.gallery.selection import Filter

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
        for mate, probe in _probes(gallery, wanted.sample, similarity, random):
            before_search()
            found, _ = _timed(gallery, probe, Plan.EXACT)
            if mate in found[:1]:
                mated.append((mate, probe))
        measured += [_measure(gallery, plan, similarity, mated, before_search) for plan in wanted.plans]
    return measured


def _measure(
    gallery: Gallery,
    plan: Plan,
    similarity: float,
    mated: Sequence[tuple[int, NDArray[np.float32]]],
    before_search: Callable[[], None],
) -> Recall:
    missed, times = 0, []
    for mate, probe in mated:
        before_search()
        found, elapsed = _timed(gallery, probe, plan)
        times.append(elapsed)
        # Deleted since the probe was made: nobody's miss.
        missed += mate not in found and gallery.table.row_of(mate) is not None
    median, p99 = np.percentile(times, [50, 99]) * 1e6 if times else (0.0, 0.0)
    return Recall(plan, similarity, len(mated), missed, float(median), float(p99))


def _timed(gallery: Gallery, probe: NDArray[np.float32], plan: Plan) -> tuple[list[int], float]:
    def accept(comparison: Comparison) -> Candidate:
        return Candidate(comparison.subject_id, comparison.similarity, -1.0, comparison.template_id)

    # As a gate searches, for those above a threshold; the lowest similarity asked for is well above this one.
    query = Query(probe, plan, Filter(None, 0), 0.2, 5, accept)
    started = time.perf_counter()
    (found,) = gallery.search.run([query])
    return [each.template_id for each in found], time.perf_counter() - started


def _probes(
    gallery: Gallery, sample: int, similarity: float, random: np.random.Generator
) -> list[tuple[int, NDArray[np.float32]]]:
    """Return (template_id, probe) pairs; a probe is similarity * mate + the rest in a direction across the mate."""
    columns = gallery.table.columns
    live = np.flatnonzero(columns.live[: columns.rows])
    if len(live) < 2:
        return []
    chosen = random.choice(live, min(sample, len(live)), replace=False)
    probes = []
    for row in chosen:
        mate = columns.vectors[row].astype(np.float64)
        others = columns.vectors[random.choice(live, min(_MIXED, len(live)))]
        noise = random.standard_normal(len(others)) @ others
        noise -= (noise @ mate) * mate
        length = float(np.linalg.norm(noise))
        if length < 1e-6:
            continue
        probe = similarity * mate + np.sqrt(1 - similarity**2) * noise / length
        probes.append((int(columns.template_ids[row]), probe.astype(np.float32)))
    return probes
