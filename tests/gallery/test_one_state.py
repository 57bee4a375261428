"""Every answer is of one state: that of its revision, at its moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from office import Office, answered, unit

from gerbang_service.domain.changes import SubjectGone, WatchlistGone, WatchlistPut
from gerbang_service.domain.errors import SubjectHasNoTemplate
from gerbang_service.domain.questions import OnLists, Plan, Question
from gerbang_service.domain.thresholds import Rule
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery.candidates.port import Probes, Proposal
from gerbang_service.gallery.candidates.sweep import Sweep
from gerbang_service.gallery.gallery import Gallery

HOUR = 3600 * 10**9
STRANGERS = 600


class Clock:
    """A clock that shows what it is set to, as one of a machine whose time is set."""

    def __init__(self) -> None:
        self.ns = 1_800_000_000 * 10**9

    def __call__(self) -> int:
        return self.ns


def crowd(*lists: Watchlist, clock: Callable[[], int] = time.time_ns) -> tuple[Office, np.random.Generator]:
    """Return an office with enough strangers on the first list that searches sweep."""
    rng = np.random.default_rng(21)
    office = Office(*lists, clock=clock)
    office.enrol_all([(f"stranger-{i}", each[np.newaxis]) for i, each in enumerate(unit(rng, STRANGERS))], "a")
    return office, rng


def names(office: Office, probe: np.ndarray, plan: Plan = Plan.BOTH, *lists: str, **asked: Any) -> list[str]:
    return [each.subject_id for each in office.identify(probe, plan, *lists, threshold=0.99, **asked)]


def wait_for_more(answers: list[Any]) -> None:
    """Wait until another search has ended, so that searches and changes meet however busy the machine is."""
    before, until = len(answers), time.monotonic() + 10
    while len(answers) <= before and time.monotonic() < until:
        time.sleep(0)


def while_proposing(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Have something happen once, after a search looked up what it was asked and before it finds anybody."""
    propose, waiting = Sweep.propose, [act]

    def disturbed(self: Sweep, probes: Probes, count: int, among: Any) -> Proposal:
        if waiting:
            thread = threading.Thread(target=waiting.pop())
            thread.start()
            thread.join(10)
        return propose(self, probes, count, among)

    monkeypatch.setattr(Sweep, "propose", disturbed)


@pytest.mark.parametrize("plan", [Plan.BOTH, Plan.SWEEP, Plan.EXACT])
def test_a_clock_that_is_set_back_hides_nobody(plan: Plan) -> None:
    """Who expires in an hour is found again after the clock went two hours ahead and came back."""
    clock = Clock()
    office, rng = crowd(Watchlist("a"), clock=clock)
    face = unit(rng, 1)
    office.enrol("wanted", face, "a", until_ns=clock.ns + HOUR)
    assert names(office, face[0], plan) == ["wanted"]
    clock.ns += 2 * HOUR
    assert names(office, face[0], plan) == []
    clock.ns -= 2 * HOUR
    assert names(office, face[0], plan) == ["wanted"]


@pytest.mark.parametrize("plan", [Plan.BOTH, Plan.SWEEP, Plan.EXACT])
def test_validity_begins_and_ends_to_the_nanosecond(plan: Plan) -> None:
    """From its first moment on somebody is found, and from its end on not, whichever way the clock went."""
    clock = Clock()
    office, rng = crowd(Watchlist("a"), clock=clock)
    face, begin = unit(rng, 1), clock.ns + 500
    office.enrol("wanted", face, "a", from_ns=begin, until_ns=begin + 100)
    for moment, there in ((-1, False), (0, True), (99, True), (100, False), (50, True), (-5, False)):
        clock.ns = begin + moment
        assert names(office, face[0], plan) == ["wanted"] * there


def test_who_moves_to_a_list_that_is_new_is_found_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search of all lists finds who is on one in every state, though it began before the second one was there."""
    office, rng = crowd(Watchlist("a"))
    face = unit(rng, 1)
    office.enrol("wanted", face, "a")

    def move() -> None:
        office.apply(WatchlistPut(office.next(), Watchlist("b")))
        office.change("wanted", watchlists=("b",))

    while_proposing(monkeypatch, move)
    (found,) = office.identify(face[0], Plan.SWEEP, threshold=0.99)
    assert found.subject_id == "wanted"


def test_an_answer_says_the_revision_that_it_was_made_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody enrolled while a search is made is in its answer if and only if the answer's revision says so."""
    office, rng = crowd(Watchlist("a"))
    face = unit(rng, 1)
    enrolled: list[int] = []

    def enrol() -> None:
        office.enrol("late", face, "a")
        enrolled.append(office.revision)

    while_proposing(monkeypatch, enrol)
    answer = office.answer(face[0], Plan.BOTH, threshold=0.99)
    assert (answer.revision >= enrolled[0]) == bool(answer.candidates)
    assert answer.size == STRANGERS + (answer.revision >= enrolled[0])


@pytest.mark.parametrize("plan", [Plan.BOTH, Plan.SWEEP])
def test_a_list_that_goes_while_it_is_searched_leaves_no_half_answer(
    monkeypatch: pytest.MonkeyPatch, plan: Plan
) -> None:
    """The answer is that of before or of after: with the list and its action, or without the person."""
    office, rng = crowd(Watchlist("a"), Watchlist("b"))
    face = unit(rng, 1)
    office.enrol("wanted", face, "b")
    before = office.revision
    while_proposing(monkeypatch, lambda: office.apply(WatchlistGone(office.next(), "b")))
    answer = office.answer(face[0], plan, threshold=0.99)
    assert [each.watchlists for each in answer.candidates] == ([("b",)] if answer.revision == before else [])


def test_searches_beside_any_changes_see_whole_states() -> None:
    """While two people change lists, come and go, each answer is one of the states there were, that of its revision."""
    office, rng = crowd(Watchlist("a"), Watchlist("b"))
    face = unit(rng, 1)
    states: dict[int, set[tuple[str, tuple[str, ...]]]] = {}

    def noted(change: Callable[[], None], *there: tuple[str, tuple[str, ...]]) -> None:
        states[office.revision + 1] = set(there)
        change()
        wait_for_more(answers)

    answers: list[Any] = []
    office.enrol("x", face, "a")
    states[office.revision] = {("x", ("a",))}
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            answers.append(office.answer(face[0], Plan.BOTH, threshold=0.99))

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(15):
        noted(lambda: office.change("x", watchlists=("b",)), ("x", ("b",)))
        noted(lambda: office.enrol("y", face, "a"), ("x", ("b",)), ("y", ("a",)))
        noted(lambda: office.change("x", watchlists=("a", "b")), ("x", ("a", "b")), ("y", ("a",)))
        noted(lambda: office.delete("y"), ("x", ("a", "b")))
        noted(lambda: office.change("x", watchlists=("a",)), ("x", ("a",)))
    done.set()
    for thread in threads:
        thread.join()
    assert len({each.revision for each in answers}) > 10
    for answer in answers:
        assert {(each.subject_id, each.watchlists) for each in answer.candidates} == states[answer.revision]


def test_groups_become_visible_at_once() -> None:
    """Of people enrolled in one transaction a search finds all or none."""
    office, rng = crowd(Watchlist("a"))
    face = unit(rng, 1)
    counts: list[int] = []
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            counts.append(len(office.identify(face[0], Plan.SWEEP, threshold=0.99, limit=100)))

    thread = threading.Thread(target=search)
    thread.start()
    for group in range(10):
        office.enrol_all([(f"{group}-{i}", face) for i in range(5)], "a")
        wait_for_more(counts)
    done.set()
    thread.join()
    assert all(each % 5 == 0 for each in counts)


def test_verify_beside_replacing_always_has_a_template() -> None:
    """Somebody whose template is replaced has one in every state, so a comparison never says that there is none."""
    office, rng = crowd(Watchlist("a"))
    face = unit(rng, 1)
    office.enrol("wanted", face, "a")
    done = threading.Event()
    failed: list[Exception] = []

    def compare() -> None:
        while not done.is_set():
            try:
                office.gallery.compare(face[0], "wanted")
            except SubjectHasNoTemplate as error:
                failed.append(error)

    thread = threading.Thread(target=compare)
    thread.start()
    for _ in range(300):
        office.enrol("wanted", face, "a")
    done.set()
    thread.join()
    assert not failed


def test_what_comes_and_goes_in_one_group_leaves_nothing() -> None:
    """Enrolled and deleted by one transaction: nobody is found, and the generators hold no more than before."""
    office, rng = crowd(Watchlist("a"))
    face = unit(rng, 1)
    put = office.put("brief", face, "a")
    del office.records["brief"]
    office.apply(put, SubjectGone(office.next(), "brief"))
    assert names(office, face[0], Plan.SWEEP) == []
    assert office.gallery.size == STRANGERS
    office.wait_for_graph()
    assert {each.indexed for each in office.gallery.progress()} == {STRANGERS}


def test_questions_of_a_batch_are_answered_or_refused_each_by_itself() -> None:
    """One that names a list that is not there has its error; the others of the batch have their answers."""
    office, rng = crowd(Watchlist("a"))
    face = unit(rng, 1)
    office.enrol("wanted", face, "a")
    questions = [Question(face[0], OnLists(Rule(0.9), lists), 5, Plan.BOTH) for lists in ((), ("none",), ("a",))]
    first, second, third = office.gallery.search(questions)
    assert type(second).__name__ == "WatchlistNotFound"
    assert not isinstance(first, Exception)
    assert not isinstance(third, Exception)
    assert [each.subject_id for each in (*first.candidates, *third.candidates)] == ["wanted", "wanted"]


def test_the_recheck_of_an_answer_is_of_the_same_moment() -> None:
    """Asked again exactly, at the answer's moment, nobody whose validity began in between counts as missed."""
    clock = Clock()
    office, rng = crowd(Watchlist("a"), clock=clock)
    face = unit(rng, 1)
    office.enrol("soon", face, "a", from_ns=clock.ns + 10)
    question = office.question(face[0], Plan.BOTH, threshold=0.99)
    answer = answered(office.gallery, question)
    clock.ns += 20
    again = answered(office.gallery, Question(face[0], question.among, 5, Plan.EXACT, moment_ns=answer.moment_ns))
    assert again.revision == answer.revision
    assert again.candidates == answer.candidates == []


def test_who_becomes_valid_while_a_search_prepares_is_in_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enrolled after a search looked at the clock, and valid since just before: the answer's revision has them."""
    clock = Clock()
    office, rng = crowd(Watchlist("a"), clock=clock)
    face = unit(rng, 1)
    assert names(office, face[0], Plan.SWEEP) == []
    clock.ns += 2000
    look, waiting = Gallery._now, ["late"]

    def disturbed(self: Gallery) -> int:
        now = look(self)
        if waiting:
            office.enrol(waiting.pop(), face, "a", from_ns=now - 1000)
        return now

    monkeypatch.setattr(Gallery, "_now", disturbed)
    answer = office.answer(face[0], Plan.SWEEP, threshold=0.99)
    assert answer.revision == office.revision
    assert [each.subject_id for each in answer.candidates] == ["late"]
