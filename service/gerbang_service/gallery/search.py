"""The search: candidate generators propose rows, one exact judge scores them.

A generator may be fast and wrong; the judge is exact, so what is reported is always the true cosine. Whatever the
plan, a row counts only if it is live, in force, and on a list that is searched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.decision import Candidate, Comparison, ranked
from gerbang_service.domain.questions import Plan
from gerbang_service.gallery.candidates.graph import Graph
from gerbang_service.gallery.candidates.sketches import Sketches
from gerbang_service.gallery.selection import Filter, Selection, Selections
from gerbang_service.gallery.table import Owner, Table

# Up to this many rows are compared one by one: cheap, and complete.
_FEW = 256
# The graph alone is asked for more when a filter will take some away, up to this many.
_GRAPH_MOST = 2048
# float32 sums of products differ in the last bits with the order of summation; this is more than they can.
_ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class Query:
    """One search. `probe`: float32 (dimension,), unit length.

    `accept` turns a subject's best comparison into a candidate, or None when it passes no threshold; `floor` is the
    lowest similarity that it could accept; `limit`: candidates wanted at most.
    """

    probe: NDArray[np.float32]
    plan: Plan
    filter: Filter
    floor: float
    limit: int
    accept: Callable[[Comparison], Candidate | None]


@dataclass(frozen=True, slots=True)
class Pools:
    """How many rows are proposed for each probe: by the sweep, by the graph in plan `both`, by the graph alone."""

    sweep: int = 32
    graph: int = 16
    graph_alone: int = 64


class Search:
    """Answers queries from a table, its sketches and its graph. Thread-safe."""

    def __init__(
        self,
        table: Table,
        sketches: Sketches,
        graph: Graph,
        selections: Selections,
        rotation: NDArray[np.float32],
        pools: Pools,
    ) -> None:
        """`rotation`: float32 (dimension, directions), as the sketches and the graph were made with."""
        self._table = table
        self._sketches = sketches
        self._graph = graph
        self._selections = selections
        self._rotation = rotation
        self._pools = pools

    def run(self, queries: Sequence[Query]) -> list[list[Candidate]]:
        """Answer queries, each with its candidates, best first, each subject once, ties by subject_id."""
        answers: list[list[Candidate]] = [[] for _ in queries]
        groups: dict[tuple[Plan, bytes | None], list[int]] = {}
        for i, query in enumerate(queries):
            groups.setdefault((query.plan, query.filter.key), []).append(i)
        with self._table.readers.reading():
            for members in groups.values():
                found = self._run_group([queries[i] for i in members])
                for i, candidates in zip(members, found, strict=True):
                    answers[i] = candidates
        return answers

    def compare(self, probe: NDArray[np.float32], template_ids: Sequence[int]) -> tuple[float, int] | None:
        """Return the highest exact similarity among the live ones of these templates, and its template_id."""
        with self._table.readers.reading():
            rows = [row for each in template_ids if (row := self._table.row_of(each)) is not None]
            best: tuple[float, int] | None = None
            asked = np.zeros(len(rows), np.int64)
            for _, similarity, template_id, _ in self._judge([probe], asked, np.array(rows, np.int64)):
                if best is None or similarity > best[0]:
                    best = (similarity, template_id)
            return best

    # --- proposing --------------------------------------------------------------------------------------------------

    def _run_group(self, queries: Sequence[Query]) -> list[list[Candidate]]:
        """Answer queries of one plan and one filter."""
        if queries[0].plan is Plan.EXACT:
            return [self._run_exact(query) for query in queries]
        selection = self._selections.of(queries[0].filter)
        if selection.count <= _FEW:
            rows = selection.rows()
            asked = np.repeat(np.arange(len(queries)), len(rows))
            return self._accepted(queries, asked, np.tile(rows, len(queries)))
        probes = np.stack([query.probe for query in queries])
        rotated = probes @ self._rotation
        pool = max(self._pools.sweep, 2 * max(query.limit for query in queries))
        rows = self._propose(queries[0].plan, rotated, pool, selection)
        floors = np.array([query.floor for query in queries], np.float32)
        cosines = self._cosines(probes, rows)
        near = cosines >= floors[:, np.newaxis] - _ROUNDING
        if not near.any():  # strangers, as most travellers are
            return [[] for _ in queries]
        asked, place = np.nonzero(near)
        answers = self._accepted(queries, asked, rows[asked, place])
        for i in np.flatnonzero(near.sum(axis=1) >= pool).tolist():
            if not _is_complete(answers[i], queries[i], cosines[i], pool):
                answers[i] = self._widen(queries[i], rotated[i : i + 1], pool, selection)
        return answers

    def _widen(self, query: Query, rotated: NDArray[np.float32], pool: int, selection: Selection) -> list[Candidate]:
        """Answer a query all of whose proposals are near: there may be more of them than were proposed.

        So it is with a subject of many templates, or a very low threshold.
        """
        while True:
            pool *= 4
            rows = self._propose(query.plan, rotated, min(pool, selection.count), selection)
            cosines = self._cosines(query.probe[np.newaxis], rows)[0]
            near = cosines >= query.floor - _ROUNDING
            accepted = self._accepted_of_one(query, rows[0][near])
            exhausted = near.sum() < pool or pool >= selection.count
            if exhausted or _is_complete(accepted, query, cosines, pool):
                return accepted

    def _propose(self, plan: Plan, rotated: NDArray[np.float32], pool: int, selection: Selection) -> NDArray[np.int64]:
        """Return rows for each probe, each row once; int64 (probes, n), -1 for none."""
        proposed = []
        if plan is Plan.GRAPH:
            share = max(selection.count, 1) / max(self._table.columns.rows, 1)
            proposed.append(
                self._graph.candidates(rotated, min(_GRAPH_MOST, int(max(pool, self._pools.graph_alone) / share)))
            )
            pending = self._graph.pending_rows()
            if len(pending) > _FEW:  # just started: what is not in the graph yet is swept
                proposed.append(self._sketches.scan(rotated, pool, selection.selector))
            else:
                proposed.append(np.broadcast_to(pending, (len(rotated), len(pending))))
        else:
            proposed.append(self._sketches.scan(rotated, pool, selection.selector))
            if plan is Plan.BOTH:
                proposed.append(self._graph.candidates(rotated, self._pools.graph))
        rows = np.sort(np.concatenate(proposed, axis=1), axis=1)
        rows[:, 1:][rows[:, 1:] == rows[:, :-1]] = -1
        return rows

    # --- judging ----------------------------------------------------------------------------------------------------

    def _cosines(self, probes: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the cosine of each probe and its proposed rows, to float32's rounding; -infinity for row -1."""
        count, width = rows.shape
        vectors = self._table.columns.vectors
        cosines = np.empty(rows.shape, np.float32)
        rows = np.ascontiguousarray(rows)
        # Scores the given rows in place: no copy of their vectors is made, and rows of -1 get -infinity.
        faiss.fvec_inner_products_by_idx(
            faiss.swig_ptr(cosines),
            faiss.swig_ptr(probes),
            faiss.swig_ptr(vectors),
            faiss.swig_ptr(rows),
            vectors.shape[1],
            count,
            width,
        )
        return cosines

    def _run_exact(self, query: Query) -> list[Candidate]:
        accepted: list[Candidate] = []
        for rows, complete_above in self._exact_pools(query):
            accepted = [each for each in self._accepted_of_one(query, rows) if each.similarity >= complete_above]
            if len(accepted) >= query.limit:
                break
        return accepted

    def _exact_pools(self, query: Query) -> Iterator[tuple[NDArray[np.int64], float]]:
        """Yield growing pools of rows, each with the similarity above which it is complete."""
        columns = self._table.columns
        scores = columns.vectors[: columns.rows] @ query.probe
        rows = np.flatnonzero(scores >= query.floor - _ROUNDING)
        rows = rows[query.filter.admits(columns, rows)]
        scores = scores[rows]
        size = max(256, 4 * query.limit)
        while size < len(rows):
            least = float(np.partition(scores, len(scores) - size)[len(scores) - size])
            yield rows[scores >= least - 2 * _ROUNDING], least + _ROUNDING
            size *= 8
        yield rows, -np.inf

    def _accepted_of_one(self, query: Query, rows: NDArray[np.int64]) -> list[Candidate]:
        return self._accepted([query], np.zeros(len(rows), np.int64), rows)[0]

    def _accepted(
        self, queries: Sequence[Query], asked: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> list[list[Candidate]]:
        """Return each query's candidates among its rows, at most its limit. Row i is for query `asked[i]`."""
        admitted = queries[0].filter.admits(self._table.columns, rows)
        best: list[dict[str, Comparison]] = [{} for _ in queries]
        probes = [query.probe for query in queries]
        for i, similarity, template_id, owner in self._judge(probes, asked[admitted], rows[admitted]):
            known = best[i].get(owner.subject_id)
            if known is None or (similarity, -template_id) > (known.similarity, -known.template_id):
                best[i][owner.subject_id] = Comparison(
                    owner.subject_id, similarity, template_id, owner.watchlists, owner.labels
                )
        return [_best_accepted(query, found) if found else [] for query, found in zip(queries, best, strict=True)]

    def _judge(
        self, probes: Sequence[NDArray[np.float32]], asked: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> Iterator[tuple[int, float, int, Owner]]:
        """Yield (query, exact cosine, template_id, owner) of the live rows. Row i is for query `asked[i]`.

        The sum is made in float64 and rounded to float32, so that it does not depend on the plan, the batch, or where
        the row lies.
        """
        if not len(rows):
            return
        columns = self._table.columns
        each_probe = np.stack(probes).astype(np.float64)[asked]
        exact = np.einsum("ij,ij->i", columns.vectors[rows].astype(np.float64), each_probe)
        similarities = np.clip(exact, -1.0, 1.0).astype(np.float32).tolist()
        for i, row, similarity in zip(asked.tolist(), rows.tolist(), similarities, strict=True):
            template_id, owner = int(columns.template_ids[row]), columns.owners[row]
            # Last of all: a row that is live now was whole when its vector was read.
            if owner is not None and columns.live[row]:
                yield i, similarity, template_id, owner


def _is_complete(accepted: Sequence[Candidate], query: Query, cosines: NDArray[np.float32], pool: int) -> bool:
    """Tell whether nothing beyond a pool whose every row is near can be better than the last one accepted.

    Beyond the pool there is only what is less similar than its last row, as far as the sketches can tell.
    """
    if len(accepted) < query.limit:
        return False
    return accepted[-1].similarity >= float(np.partition(cosines, -pool)[-pool])


def _best_accepted(query: Query, best: dict[str, Comparison]) -> list[Candidate]:
    above = [each for each in best.values() if each.similarity >= query.floor]
    accepted = (query.accept(each) for each in (ranked(above) if len(above) > 1 else above))
    return [each for each in accepted if each is not None][: query.limit]
