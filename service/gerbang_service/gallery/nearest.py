"""How similar the most similar subject is, whether or not anybody is a candidate."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gerbang_service.gallery.consistency import NotAtOnce
from gerbang_service.gallery.judge import JUDGED_AT_ONCE, ROUNDING, View, exact, exact_one
from gerbang_service.gallery.scopes import Scope


def nearest(
    view: View, scope: Scope, probe: NDArray[np.float32], rows: NDArray[np.int64], scores: NDArray[np.float32]
) -> float:
    """Return the exact cosine of a probe and the most similar of some rows that counts, -infinity for none.

    `rows`: (m,), -1 for none; `scores`: of these, (m,), as `judge.cosines` gives them. A row that counts is of somebody
    whom the question may see: what is returned tells of nobody else. Costs some 10 us. Raises NotAtOnce.
    """
    best = _best(rows, scores)
    if len(best) == 1 and view.counts(scope, best[0]):
        return exact_one(view.table, probe, best[0])
    if view.hurried and len(best) > JUDGED_AT_ONCE:
        raise NotAtOnce
    if not all(view.counts(scope, row) for row in best):
        # Of who has just left, or was proposed by a generator that does not know who counts.
        best = _best(rows, np.where(view.counting(scope, rows) < np.inf, scores, -np.inf))
    return float(exact(view.table, probe, np.array(best, np.int64)).max()) if best else -math.inf


def _best(rows: NDArray[np.int64], scores: NDArray[np.float32]) -> list[int]:
    """Return the most similar of the rows, each once: several where rounding can't tell them apart.

    None for -infinity.
    """
    # At its argmax: half the time of asking for the maximum.
    highest = scores[scores.argmax()] if len(scores) else -np.inf
    if highest == -np.inf:
        return []
    # Often proposed by both generators.
    return list(dict.fromkeys(rows[scores >= highest - 2 * ROUNDING].tolist()))
