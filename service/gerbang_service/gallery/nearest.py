"""How similar the most similar subject is, whether or not anybody is a candidate."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gerbang_service.gallery.consistency import NotAtOnce
from gerbang_service.gallery.judge import JUDGED_AT_ONCE, ROUNDING, View, exact
from gerbang_service.gallery.scopes import Scope


def nearest(
    view: View, scope: Scope, probe: NDArray[np.float32], rows: NDArray[np.int64], scores: NDArray[np.float32]
) -> float:
    """Return the exact cosine of a probe and the most similar of some rows that counts, -infinity for none.

    `rows`: (m,), -1 for none; `scores`: of these, (m,), as `judge.cosines` gives them. A row that counts is of somebody
    whom the question may see: what is returned tells of nobody else. Costs some 10 us. Raises NotAtOnce.
    """
    best = _best(rows, scores)
    if view.hurried and len(best) > JUDGED_AT_ONCE:
        raise NotAtOnce
    if not all(view.counts(scope, row) for row in best.tolist()):
        # Of who has just left, or was proposed by a generator that does not know who counts.
        best = _best(rows, np.where(view.counting(scope, rows) < np.inf, scores, -np.inf))
    return float(exact(view.table, probe, best).max()) if len(best) else -math.inf


def _best(rows: NDArray[np.int64], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the most similar of the rows: more than one where rounding can't tell them apart; none for -infinity."""
    # At its argmax: half the time of asking for the maximum.
    highest = scores[scores.argmax()] if len(scores) else -np.inf
    return rows[scores >= highest - 2 * ROUNDING] if highest > -np.inf else rows[:0]
