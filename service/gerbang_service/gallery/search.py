"""The search: candidate generators propose rows, one exact judge scores them.

A generator may be fast and wrong; the judge is exact, so what is reported is always the true cosine. Whatever the
plan, a row counts only if it is live, in force, and on a list that is searched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.decision import Candidate, Comparison, ranked
from gerbang_service.gallery.graph import Graph
from gerbang_service.gallery.table import Columns, Owner, Table

# Rows that the graph is asked for, at least: subjects have several templates, and some rows are filtered out.
_GRAPH_POOL = 64
# A filter that leaves this share of the gallery, or this many rows, is answered exactly: that is cheap then, and costs
# no recall. Above it the graph is asked for more rows in proportion.
_EXACT_SHARE = 0.02
_EXACT_ROWS = 2048
# float32 sums of products differ in the last bits with the order of summation; this is more than they can.
_ROUNDING = 1e-5


class Plan(Enum):
    """How candidates are found."""

    GRAPH = "graph"
    EXACT = "exact"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows count: on one of the lists in `lists` (uint64 words, as Columns.lists) and in force at `now_ns`.

    `lists` None: every live row, whatever its validity.
    """

    lists: NDArray[np.uint64] | None
    now_ns: int

    def admits(self, columns: Columns, rows: NDArray[np.int64] | slice) -> NDArray[np.bool_]:
        """Tell for each of the rows whether it counts; bool, as long as `rows`."""
        live = columns.live[rows]
        if self.lists is None:
            return live
        words = min(len(self.lists), columns.lists.shape[1])
        listed = (columns.lists[rows, :words] & self.lists[:words]).any(axis=1)
        in_force = (columns.valid_from[rows] <= self.now_ns) & (self.now_ns < columns.expires[rows])
        admitted: NDArray[np.bool_] = live & listed & in_force
        return admitted


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


class Search:
    """Answers queries from a table and its graph. Thread-safe."""

    def __init__(self, table: Table, graph: Graph) -> None:
        self._table = table
        self._graph = graph

    def run(self, queries: Sequence[Query]) -> list[list[Candidate]]:
        """Answer queries, each with its candidates, best first, each subject once, ties by subject_id."""
        with self._table.readers.reading():
            return [self._answer(query) for query in queries]

    def compare(self, probe: NDArray[np.float32], template_ids: Sequence[int]) -> tuple[float, int] | None:
        """Return the highest exact similarity among the live ones of these templates, and its template_id."""
        with self._table.readers.reading():
            rows = [row for each in template_ids if (row := self._table.row_of(each)) is not None]
            best: tuple[float, int] | None = None
            for similarity, template_id, _ in self._judge(probe, np.array(rows, np.int64), floor=-1.0):
                if best is None or similarity > best[0]:
                    best = (similarity, template_id)
            return best

    def _answer(self, query: Query) -> list[Candidate]:
        for rows, complete_above in self._pools(query):
            accepted = [
                candidate
                for each in self._best_of_subjects(query, rows)
                if each.similarity >= complete_above and (candidate := query.accept(each)) is not None
            ]
            if len(accepted) >= query.limit:
                return accepted[: query.limit]
        return accepted

    def _pools(self, query: Query) -> Iterator[tuple[NDArray[np.int64], float]]:
        """Yield growing pools of rows, each with the similarity above which it misses nothing that the plan finds."""
        if query.plan is Plan.EXACT:
            yield from self._exact_pools(query)
            return
        columns = self._table.columns
        admitted = query.filter.admits(columns, slice(0, columns.rows))
        count = int(np.count_nonzero(admitted))
        if count <= max(_EXACT_ROWS, _EXACT_SHARE * columns.rows):
            yield np.flatnonzero(admitted), -np.inf
            return
        wanted = max(_GRAPH_POOL, 4 * query.limit) * columns.rows // count
        found = self._graph.candidates(query.probe[np.newaxis], wanted)[0]
        yield np.union1d(found, self._graph.pending_rows()), -np.inf

    def _exact_pools(self, query: Query) -> Iterator[tuple[NDArray[np.int64], float]]:
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

    def _best_of_subjects(self, query: Query, rows: NDArray[np.int64]) -> list[Comparison]:
        best: dict[str, Comparison] = {}
        rows = rows[query.filter.admits(self._table.columns, rows)]
        for similarity, template_id, owner in self._judge(query.probe, rows, query.floor):
            known = best.get(owner.subject_id)
            if known is None or (similarity, -template_id) > (known.similarity, -known.template_id):
                best[owner.subject_id] = Comparison(
                    owner.subject_id, similarity, template_id, owner.watchlists, owner.labels
                )
        return ranked(list(best.values()))

    def _judge(
        self, probe: NDArray[np.float32], rows: NDArray[np.int64], floor: float
    ) -> Iterator[tuple[float, int, Owner]]:
        """Yield (exact cosine, template_id, owner) of the live rows whose cosine is at least `floor`.

        The sum is made in float64 and rounded to float32, so that it does not depend on the plan, the batch, or where
        the row lies.
        """
        columns = self._table.columns
        vectors = columns.vectors[rows]
        near = vectors @ probe >= floor - _ROUNDING
        rows, vectors = rows[near], vectors[near].astype(np.float64)
        exact = np.clip(vectors @ probe.astype(np.float64), -1.0, 1.0).astype(np.float32)
        for row, similarity in zip(rows.tolist(), exact.tolist(), strict=True):
            template_id, owner = int(columns.template_ids[row]), columns.owners[row]
            # Last of all: a row that is live now was whole when its vector was read.
            if owner is not None and columns.live[row] and similarity >= floor:
                yield similarity, template_id, owner
