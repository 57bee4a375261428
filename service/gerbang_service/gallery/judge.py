"""The judge: scores exactly what was proposed, and decides who of it is a candidate.

A generator may be fast and wrong; the judge is exact, so what is reported is always the true cosine. Whatever the plan,
a row counts only if it is visible at the state's revision, in force, and of a subject on a list that is searched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.decision import Candidate, Comparison, all_silent, ranked
from gerbang_service.domain.questions import Question
from gerbang_service.domain.thresholds import as_float32
from gerbang_service.gallery.scopes import Scope, Scopes
from gerbang_service.gallery.table import Table

ROUNDING: Final = 1e-5
"""float32 sums of products differ in the last bits with the order of summation; this is more than they can."""
JUDGED_AT_ONCE: Final = 64
"""Near rows that are judged in a thread that others wait for: some ten microseconds each."""
# Rows that are scored at a time.
_CHUNK: Final = 512


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What can be found, at one revision: `rows` of the table at most, of which `size` are visible, on these lists."""

    revision: int
    rows: int
    size: int
    scopes: Scopes


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The table as one search sees it. `hurried`: what takes long is not begun: NotAtOnce is raised instead."""

    table: Table
    state: State
    moment_ns: int
    hurried: bool = False

    def counting(self, scope: Scope, rows: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Return for each of the rows the similarity from which on it counts, infinity for never; float32."""
        table = self.table
        # Clipped: a row that came after this state may be of a combination that it does not know.
        floors: NDArray[np.float32] = scope.floors.take(table.combination[rows], mode="clip")
        counts = table.visible(rows, self.state.revision)
        if scope.in_force:
            counts &= table.in_force(rows, self.moment_ns)
        floors[~counts] = np.inf
        return floors

    def counts(self, scope: Scope, row: int) -> bool:
        """Tell whether one row counts from some similarity on: what `counting` tells, in a tenth of the time."""
        table, floors, revision = self.table, scope.floors, self.state.revision
        return bool(
            floors[min(table.combination[row], len(floors) - 1)] < np.inf
            # In this order, as Table.visible says.
            and revision < table.died[row]
            and table.born[row] <= revision
            and (not scope.in_force or table.valid_from[row] <= self.moment_ns < table.expires[row])
        )


def cosines(table: Table, probes: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the cosine of each probe and its rows, to float32's rounding; -infinity for row -1.

    `probes`: float32 (n, dimension), `rows`: int64 (n, m), both contiguous; returns float32 (n, m).
    """
    scores = np.empty(rows.shape, np.float32)
    # Held here: the table may be given larger ones meanwhile, and faiss has but the address of these.
    vectors = table.vectors
    # Scores the given rows in place: no copy of their vectors is made.
    faiss.fvec_inner_products_by_idx(
        faiss.swig_ptr(scores),
        faiss.swig_ptr(probes),
        faiss.swig_ptr(vectors),
        faiss.swig_ptr(rows),
        table.dimension,
        *rows.shape,
    )
    return scores


def exact(table: Table, probe: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the exact cosines of a probe and rows; float32 (len(rows),).

    The sum is made in float64 and rounded to float32, so that it does not depend on the plan, the batch, or where the
    row lies.
    """
    products = np.vecdot(table.vectors[rows].astype(np.float64), probe.astype(np.float64))
    # What np.clip does, in half the time.
    scores: NDArray[np.float32] = np.minimum(np.maximum(products, -1.0), 1.0).astype(np.float32)
    return scores


def exact_one(table: Table, probe: NDArray[np.float32], row: int) -> float:
    """Return what `exact` does of one row, in a fifth of the time."""
    product = float(np.vecdot(table.vectors[row].astype(np.float64), probe.astype(np.float64)))
    return as_float32(min(1.0, max(-1.0, product)))


def candidates(
    view: View,
    scope: Scope,
    question: Question,
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
    floors: NDArray[np.float32],
) -> list[Candidate]:
    """Return a question's best candidates among rows, each subject once.

    `scores`: of the rows, rounded; `floors`: theirs.
    """
    if len(rows) > 1:
        order = np.argsort(-scores, kind="stable")
        rows, scores, floors = rows[order], scores[order], floors[order]
    best: dict[str, Comparison] = {}
    last = -np.inf
    for start in range(0, len(rows), _CHUNK):
        # What follows is less similar; as much so that rounding can't have changed places with who is last.
        if scores[start] < last - 2 * ROUNDING:
            rest = slice(start, len(rows))
            _find_one_to_stop(view.table, scope, question, (rows[rest], scores[rest], floors[rest]), best)
            break
        chunk = slice(start, start + _CHUNK)
        _compare(view.table, question, rows[chunk], floors[chunk], best)
        if len(best) >= question.limit and len(rows) > _CHUNK:
            last = sorted(each.similarity for each in best.values())[-question.limit]
    decided = (scope.decide(each) for each in best.values())
    return ranked((each for each in decided if each is not None), question.limit)


def _find_one_to_stop(
    table: Table,
    scope: Scope,
    question: Question,
    rest: tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]],
    best: dict[str, Comparison],
) -> None:
    """Put into `best` who is to be stopped, where there are but silent alerts. `rest`: rows, scores, floors."""
    if scope.stop_floor is None or not all_silent(filter(None, map(scope.decide, best.values()))):
        return
    rows, scores, floors = rest
    stopping = scope.stop_floors.take(table.combination[rows], mode="clip")
    reached = np.flatnonzero((scores >= stopping - ROUNDING) & (floors < np.inf))
    for start in range(0, len(reached), _CHUNK):
        chunk = reached[start : start + _CHUNK]
        found: dict[str, Comparison] = {}
        _compare(table, question, rows[chunk], stopping[chunk], found)
        if found:
            best |= found
            return


def _compare(
    table: Table,
    question: Question,
    rows: NDArray[np.int64],
    floors: NDArray[np.float32],
    best: dict[str, Comparison],
) -> None:
    """Put into `best` whoever of the rows reaches its floor, each subject with its most similar template."""
    scores = exact(table, question.probe, rows)
    for i in np.flatnonzero(scores >= floors).tolist():
        row, similarity = int(rows[i]), float(scores[i])
        owner, template_id = table.owners[row], int(table.template_ids[row])
        # None: it was taken away meanwhile, and the search will be made again.
        if owner is None or owner.subject_id == question.besides:
            continue
        known = best.get(owner.subject_id)
        if known is None or (similarity, -template_id) > (known.similarity, -known.template_id):
            best[owner.subject_id] = Comparison(
                owner.subject_id, similarity, template_id, owner.combination.names, owner.labels
            )
