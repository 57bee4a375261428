"""The engine in this process: its parts put together as the service does, with other sizes of pools and sketches."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from benchmarks.galleries import Rows, Vectors

from gerbang_service.domain.decision import Candidate, Comparison
from gerbang_service.domain.questions import Plan
from gerbang_service.gallery.candidates.graph import Graph, GraphSettings
from gerbang_service.gallery.candidates.rotation import rotation
from gerbang_service.gallery.candidates.sketches import Sketches
from gerbang_service.gallery.search import Pools, Query, Search
from gerbang_service.gallery.selection import Filter, Selections
from gerbang_service.gallery.table import ALWAYS, NEVER, NO_LABELS, Owner, Table

GRAPH_DIRECTIONS = 128
LIMIT = 5
_BATCH = 50_000
_ON_LIST = np.array([1], np.uint64)


@dataclass(frozen=True, slots=True)
class Variant:
    """A plan with its sizes. `ef`: width of the graph's walk; `bits`: of a sketch; `rescored`: by the sweep."""

    plan: Plan
    bits: int
    rescored: int
    ef: int

    @property
    def name(self) -> str:
        """How it is called in tables."""
        if self.plan is Plan.GRAPH:
            return f"graph ef={self.ef}"
        sweep = f"{self.bits} bits, {self.rescored} rescored"
        return f"sweep {sweep}" if self.plan is Plan.SWEEP else f"both {sweep}, ef={self.ef}"


class Engine:
    """A gallery of one template a person, all on one watchlist; the graph has what it got in `graph_wait` seconds."""

    def __init__(self, templates: Vectors, bits: tuple[int, ...], graph_wait: float = np.inf) -> None:
        count, dimension = templates.shape
        self._table = Table(dimension, count)
        turned = rotation(dimension, max(*bits, GRAPH_DIRECTIONS))
        self._graph = Graph(self._table, turned[:, : min(GRAPH_DIRECTIONS, dimension)], GraphSettings())
        self._selections = Selections(self._table)
        self._rotations = {each: np.ascontiguousarray(turned[:, : max(each, GRAPH_DIRECTIONS)]) for each in bits}
        self._sketches = {each: Sketches(each, self._table.columns.capacity) for each in bits}
        started = time.perf_counter()
        for start in range(0, count, _BATCH):
            self._add(templates[start : start + _BATCH], start)
        self.sketch_s = time.perf_counter() - started
        started = time.perf_counter()
        self._graph.start()
        while self._graph.progress().pending and time.perf_counter() - started < graph_wait:
            time.sleep(0.1)
        self._graph.stop()
        self.graph_s = time.perf_counter() - started
        self.indexed = self._graph.progress().indexed

    def _add(self, vectors: Vectors, start: int) -> None:
        ids = np.arange(start, start + len(vectors), dtype=np.int64)
        owners = [Owner(f"s{each}", ("all",), NO_LABELS, ALWAYS, NEVER, (each,)) for each in ids.tolist()]
        rows = self._table.add_many(owners, ids, vectors, np.ones((len(vectors), 1), np.uint64))
        for each, sketches in self._sketches.items():
            sketches.write(rows, vectors @ self._rotations[each])

    def searcher(self, variant: Variant, floor: float) -> Searcher:
        """Return a way to search by a variant."""
        pools = Pools(variant.rescored, variant.ef, variant.ef)
        parts = (self._table, self._sketches[variant.bits], self._graph, self._selections)
        return Searcher(Search(*parts, self._rotations[variant.bits], pools), variant.plan, floor)


class Searcher:
    """Answers batches as Identify does: the watchlist's filter, at most 5 candidates above `floor`."""

    def __init__(self, search: Search, plan: Plan, floor: float) -> None:
        self._search = search
        self._plan = plan
        self._floor = floor

    def answer(self, probes: Vectors) -> Rows:
        """Return the rows of each probe's candidates; int64 (probes, 5), -1 for none."""
        wanted = Filter(_ON_LIST, time.time_ns())
        queries = [Query(probe, self._plan, wanted, self._floor, LIMIT, self._accept) for probe in probes]
        rows = np.full((len(probes), LIMIT), -1, np.int64)
        for row, found in zip(rows, self._search.run(queries), strict=True):
            row[: len(found)] = [each.template_id for each in found]
        return rows

    def _accept(self, compared: Comparison) -> Candidate:
        return Candidate(compared.subject_id, compared.similarity, self._floor, compared.template_id)
