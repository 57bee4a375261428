"""The generators that there are hold their contract, and a search is never silently without one."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from generator_contract import DIMENSION, GeneratorContract, Rows, World, caught_up
from office import Office, across, graph_progress, unit

from gerbang_service.domain.errors import DeadlineTooShort
from gerbang_service.domain.questions import Lack, Plan
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery import search
from gerbang_service.gallery.candidates.fake import EveryRow
from gerbang_service.gallery.candidates.graph import Graph, GraphSettings
from gerbang_service.gallery.candidates.hnsw import Hnsw
from gerbang_service.gallery.candidates.port import Generator, Proposal
from gerbang_service.gallery.candidates.sweep import Sweep
from gerbang_service.gallery.search import Search


class TestSweep(GeneratorContract):
    """The sweep."""

    def generator(self, world: World) -> Generator:  # noqa: ARG002
        return Sweep(512)


class TestSweepOfHelpers(GeneratorContract):
    """The sweep with idle processors to help."""

    def generator(self, world: World) -> Generator:  # noqa: ARG002
        return Sweep(512, processors=3)


class TestGraph(GeneratorContract):
    """The graph."""

    def generator(self, world: World) -> Generator:
        return Graph(DIMENSION, world.rotated, GraphSettings(ef=64))


class TestFake(GeneratorContract):
    """The official fake."""

    def generator(self, world: World) -> Generator:  # noqa: ARG002
        return EveryRow()


@pytest.fixture
def office() -> Office:
    """Enough people that searches ask the generators."""
    made = Office(Watchlist("a"))
    vectors = unit(np.random.default_rng(51), 1000)
    made.enrol_all([(f"s{i}", each[np.newaxis]) for i, each in enumerate(vectors)], "a")
    return made


def face(office: Office) -> np.ndarray:
    return next(iter(office.records["s500"][1].values()))


def test_an_answer_of_all_generators_lacks_none(office: Office) -> None:
    """Once the graph has everybody, and with a few pending too, nothing is lacking."""
    office.wait_for_graph()
    assert office.answer(face(office), Plan.BOTH).lacks == ()
    office.enrol("new", unit(np.random.default_rng(1), 1), "a")
    assert office.answer(face(office), Plan.BOTH).lacks == ()


def test_a_generator_that_is_behind_is_in_the_answer() -> None:
    """While the graph has not taken anybody in, an answer of plan `both` says how many it lacks.

    One of `sweep` does not.
    """
    office = Office(Watchlist("a"), start=False)
    vectors = unit(np.random.default_rng(52), 1000)
    office.enrol_all([(f"s{i}", each[np.newaxis]) for i, each in enumerate(vectors)], "a")
    answer = office.answer(vectors[3], Plan.BOTH)
    assert answer.lacks == (Lack("graph", 1000),)
    assert answer.candidates[0].subject_id == "s3"
    assert office.answer(vectors[3], Plan.SWEEP).lacks == ()


def test_a_generator_that_fails_to_propose_is_in_the_answer_and_counted(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep's answer is given, and says that the graph failed."""
    office.wait_for_graph()

    def fail(*_: object) -> Any:
        raise MemoryError

    monkeypatch.setattr(Hnsw, "query", fail)
    answer = office.answer(face(office), Plan.BOTH)
    assert answer.lacks == (Lack("graph", 0, failed=True),)
    assert answer.candidates[0].subject_id == "s500"
    assert graph_progress(office.gallery).failures == 1


def test_there_is_no_answer_without_the_sweep(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator that misses nobody is required: without it the search fails, loudly."""

    def fail(*_: object) -> Any:
        raise MemoryError

    monkeypatch.setattr(Sweep, "propose", fail)
    with pytest.raises(MemoryError):
        office.answer(face(office), Plan.BOTH)


def test_a_graph_whose_thread_dies_says_so(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged as critical, shown in progress, and in each answer of its plan from then on."""

    def fail(*_: object) -> Any:
        raise MemoryError

    office.wait_for_graph()
    monkeypatch.setattr(Hnsw, "insert", fail)
    office.enrol_all([(f"t{i}", each[np.newaxis]) for i, each in enumerate(unit(np.random.default_rng(2), 300))], "a")
    until = time.monotonic() + 10
    while not graph_progress(office.gallery).failed:
        assert time.monotonic() < until
        time.sleep(0.01)
    answer = office.answer(face(office), Plan.BOTH)
    assert answer.lacks == (Lack("graph", 300, failed=True),)
    assert [each.levelno for each in caplog.records if "graph" in each.message] == [logging.CRITICAL]


def test_who_is_taken_in_while_it_is_asked_is_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at what is pending and the walk the graph takes somebody in: proposed all the same."""
    world = World()
    graph = Graph(DIMENSION, world.rotated, GraphSettings(ef=64))
    graph.start()
    graph.added(world.added(np.arange(500)))
    caught_up(graph)
    graph.stop()
    query, waiting = Hnsw.query, [graph]

    def after_it_caught_up(self: Hnsw, probes: np.ndarray, k: int) -> Any:
        found = query(self, probes, k)
        if waiting:  # the walk is over; what was pending is taken in now, and pending no more
            waiting.pop()
            thread = threading.Thread(target=graph._catch_up, args=(graph._serving, graph._backlog))
            graph._lock._readers -= 1
            graph._running = True
            thread.start()
            thread.join(10)
            graph._lock._readers += 1
        return found

    late = np.arange(500, 510)
    graph.added(world.added(late))
    monkeypatch.setattr(Hnsw, "query", after_it_caught_up)
    found = graph.propose(world.probes(late), 16, Rows(np.ones(600, bool))).rows
    assert all(row in found[i] for i, row in enumerate(late.tolist()))
    assert graph.progress().pending == 0


def test_a_rebuilt_graph_serves_only_when_it_has_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is added while a new graph is built is in it, or still pending, when it takes the old one's place."""
    world = World(4000)
    graph = Graph(DIMENSION, world.rotated, GraphSettings(max_tombstones=0.1))
    graph.start()
    graph.added(world.added(np.arange(2000)))
    caught_up(graph)
    insert, late = Hnsw.insert, list(range(2000, 2400))

    def with_company(self: Hnsw, vectors: np.ndarray) -> Any:
        if self is not graph._serving and late:  # the new one grows, and so does what it has to hold
            graph.added(world.added(np.array([late.pop()])))
        return insert(self, vectors)

    monkeypatch.setattr(Hnsw, "insert", with_company)
    before = graph._serving
    graph.removed(np.arange(0, 2000, 4))
    until = time.monotonic() + 60
    while graph._serving is before:
        assert time.monotonic() < until
        time.sleep(0.005)
    caught_up(graph)
    graph.stop()
    progress = graph.progress()
    assert progress.tombstones <= 0.1 * (progress.indexed + progress.tombstones)
    assert progress.indexed == 1500 + (400 - len(late))


def test_rows_that_go_while_the_maps_grow_are_forgotten() -> None:
    """Removals beside additions that make the maps of a graph grow: whatever the order, nobody gone is held."""
    world = World(20_000)
    graph = Graph(DIMENSION, world.rotated, GraphSettings(m=4, ef_construction=8))
    graph.start()
    for start in range(0, 20_000, 500):
        rows = np.arange(start, start + 500)
        graph.added(world.added(rows))
        graph.removed(rows[::5])
    caught_up(graph)
    graph.stop()
    held = set(graph._serving.rows().tolist())
    assert held == {row for row in range(20_000) if row % 5}


@pytest.fixture
def look_alikes() -> tuple[Office, np.ndarray]:
    """More people who look alike than are proposed at first, so that a search for one of them is widened."""
    rng = np.random.default_rng(41)
    office = Office(Watchlist("a"))
    face = unit(rng, 1)[0]
    office.enrol_all([(f"s{i}", across(face, 0.95, rng)[np.newaxis]) for i in range(2000)], "a")
    office.wait_for_graph()
    return office, face


def test_a_generator_that_fails_while_a_search_is_widened_is_said_to_be_lacking(
    look_alikes: tuple[Office, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for more, the graph fails: the answer is the sweep's, and says so."""
    office, probe = look_alikes
    propose, asked = Graph.propose, []

    def failing(self: Graph, *args: Any) -> Proposal:
        asked.append(args)
        if len(asked) > 1:
            raise RuntimeError("out of memory")
        return propose(self, *args)

    monkeypatch.setattr(Graph, "propose", failing)
    answer = office.answer(probe, Plan.BOTH, limit=100)
    assert len(asked) > 1
    assert answer.lacks == (Lack("graph", 0, failed=True),)
    assert len(answer.candidates) == 100


def test_a_deadline_that_passes_while_a_search_is_widened_is_said(
    look_alikes: tuple[Office, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search ended without all that it was to look at: that is an error, never an answer without anybody."""
    office, probe = look_alikes
    question = replace(office.question(probe, Plan.SWEEP, limit=100), answer_by=time.monotonic() + 0.3)
    widen = Search._widen

    def slow(self: Search, *args: Any) -> Any:
        time.sleep(0.5)
        return widen(self, *args)

    monkeypatch.setattr(Search, "_widen", slow)
    monkeypatch.setattr(search, "_WIDENED_AT_MOST", 0)  # else all of these few are proposed
    (asked,) = office.gallery.search([question])
    assert isinstance(asked, DeadlineTooShort)
