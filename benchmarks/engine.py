"""The engine in this process: its parts put together as the service does, with other sizes of pools and sketches."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from benchmarks.galleries import Rows, Vectors

from gerbang_service.domain.questions import Answer, OnLists, Plan, Question
from gerbang_service.domain.subjects import StoredSubject
from gerbang_service.domain.thresholds import Rule
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery.candidates.graph import Graph, GraphSettings
from gerbang_service.gallery.candidates.port import Generator
from gerbang_service.gallery.candidates.rotation import rotation
from gerbang_service.gallery.candidates.sweep import Sweep
from gerbang_service.gallery.consistency import Consistency
from gerbang_service.gallery.contents import GalleryContents
from gerbang_service.gallery.judge import View
from gerbang_service.gallery.search import Search
from gerbang_service.gallery.table import Table
from gerbang_service.store.port import Contents

GRAPH_DIRECTIONS = 128
LIMIT = 5
_BATCH = 8192


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
        self._table = table = Table(dimension, count)
        directions = min(GRAPH_DIRECTIONS, dimension)
        self._rotation = turned = rotation(dimension, max(*bits, directions))
        self._sweeps = {each: Sweep(each, count) for each in bits}
        for_graph = np.ascontiguousarray(turned[:, :directions])
        self._graph = Graph(directions, lambda rows: table.vectors[rows] @ for_graph, GraphSettings(), count)
        generators: Sequence[Generator] = (*self._sweeps.values(), self._graph)
        self._contents = GalleryContents(table, turned, generators, Consistency(), time.time_ns())
        started = time.perf_counter()
        self._contents.load(all_on_one_list(templates), lambda: None)
        self.sketch_s = time.perf_counter() - started
        started = time.perf_counter()
        self._graph.start()
        while self._graph.progress().pending and time.perf_counter() - started < graph_wait:
            time.sleep(0.1)
        self._graph.stop()
        self.graph_s = time.perf_counter() - started
        self.indexed = self._graph.progress().indexed

    def searcher(self, variant: Variant, floor: float) -> Searcher:
        """Return a way to search by a variant."""
        swept, walked = (self._sweeps[variant.bits], variant.rescored), (self._graph, variant.ef)
        plans = {Plan.SWEEP: (swept,), Plan.BOTH: (swept, walked), Plan.GRAPH: (walked,)}
        width = max(variant.bits, GRAPH_DIRECTIONS)
        search = Search(self._contents.selections, np.ascontiguousarray(self._rotation[:, :width]), plans)
        view = partial(View, self._table, self._contents.state)
        return Searcher(search, view, variant.plan, floor)


def all_on_one_list(templates: Vectors) -> Contents:
    """Return templates as a store would hand them over, each a subject's, all on one list."""

    def subjects() -> Iterator[StoredSubject]:
        for each in range(len(templates)):
            yield StoredSubject(each, f"s{each}", ("all",), None, None, {})

    def batches() -> Iterator[list[tuple[int, int, bytes]]]:
        for start in range(0, len(templates), _BATCH):
            part = templates[start : start + _BATCH]
            yield [(start + i, start + i, each.tobytes()) for i, each in enumerate(part)]

    return Contents(1, [Watchlist("all")], subjects(), batches())


class Searcher:
    """Answers batches as Identify does: among those on the watchlist, at most 5 candidates above `floor`."""

    def __init__(self, search: Search, view: partial[View], plan: Plan, floor: float) -> None:
        self._search = search
        self._view = view
        self._plan = plan
        self._among = OnLists(Rule(floor))

    def answer(self, probes: Vectors) -> Rows:
        """Return the rows of each probe's candidates; int64 (probes, 5), -1 for none."""
        questions = [Question(probe, self._among, LIMIT, self._plan) for probe in probes]
        rows = np.full((len(probes), LIMIT), -1, np.int64)
        for row, found in zip(rows, self._search.answer(questions, self._view(time.time_ns())), strict=True):
            if not isinstance(found, Answer):
                raise found
            row[: len(found.candidates)] = [each.template_id for each in found.candidates]
        return rows
