"""Plan `exact`: a probe is compared with every row, block by block."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.decision import Candidate
from gerbang_service.domain.questions import Question
from gerbang_service.gallery.judge import ROUNDING, View, candidates, exact
from gerbang_service.gallery.scopes import Scope

# Rows that are multiplied at a time: a hundredth of a second for a batch, after which deadlines are looked at.
_BLOCK: Final = 8192


def compare_all(
    view: View, scope: Scope, questions: Sequence[Question], tops: list[float]
) -> list[list[Candidate] | None]:
    """Return each question's candidates among all rows; None for one whose caller has stopped waiting meanwhile.

    All questions are of this scope. Costs a pass over all vectors, however many questions share it. `tops`: a
    similarity each, raised to the highest of all that count, if the scope tells it.
    """
    probes = np.stack([each.probe for each in questions], axis=1)
    live = np.ones(len(questions), np.bool_)
    near: list[tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]] = []
    for start in range(0, view.state.rows, _BLOCK):
        now = time.monotonic()
        live &= [each.answer_by > now for each in questions]
        if not live.any():
            return [None] * len(questions)
        block = slice(start, min(start + _BLOCK, view.state.rows))
        scores = view.table.vectors[block] @ probes
        if scope.tells_top:
            _raise_tops(view, scope, questions, block, scores, tops)
        reached = (scores >= scope.lowest - ROUNDING) & live
        if not reached.any():
            continue
        floors = view.counting(scope, block)
        rows, asked = np.nonzero(reached & (scores >= (floors - ROUNDING)[:, np.newaxis]))
        near.append((rows + start, asked, scores[rows, asked], floors[rows]))
    if not near:
        return [[] if each else None for each in live]
    rows, asked, scores, floors = (np.concatenate(each) for each in zip(*near, strict=True))
    found: list[list[Candidate] | None] = []
    for i, question in enumerate(questions):
        own = asked == i
        found.append(candidates(view, scope, question, rows[own], scores[own], floors[own]) if live[i] else None)
    return found


def _raise_tops(
    view: View,
    scope: Scope,
    questions: Sequence[Question],
    block: slice,
    scores: NDArray[np.float32],
    tops: list[float],
) -> None:
    """Raise what each question knows as the highest similarity so far to that of a block's rows that count.

    In most blocks there is nothing higher.
    """
    higher = np.flatnonzero(scores.max(axis=0) >= np.array(tops) - 2 * ROUNDING)
    if not len(higher):
        return
    rows = np.arange(block.start, block.stop)[view.counting(scope, block) < np.inf]
    for i in higher.tolist():
        own = scores[rows - block.start, i]
        if len(own):
            best = rows[own >= own.max() - 2 * ROUNDING]
            tops[i] = max(tops[i], float(exact(view.table, questions[i].probe, best).max()))
