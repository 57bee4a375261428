"""Answering in the thread that others wait for: the same answers, and none that would have to wait or take long."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from office import Office, unit

from gerbang_service.domain.errors import DeadlineTooShort, WatchlistNotFound
from gerbang_service.domain.questions import Answer, Plan
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery.consistency import Consistency, NotAtOnce


@pytest.fixture(scope="module")
def office() -> Office:
    """1,000 subjects of one or two templates on two lists, in the graph."""
    made = Office(Watchlist("a"), Watchlist("b"))
    vectors = unit(np.random.default_rng(3), 2000)
    people = [(f"s{i}", vectors[2 * i : 2 * i + 1 + i % 2]) for i in range(1000)]
    made.enrol_all(people[::2], "a")
    made.enrol_all(people[1::2], "a", "b")
    made.wait_for_graph()
    return made


@pytest.fixture
def probe(office: Office) -> np.ndarray:
    """The template of somebody enrolled."""
    return next(iter(office.records["s8"][1].values()))


@given(
    seed=st.integers(0, 2**32 - 1),
    threshold=st.floats(0.3, 1),
    limit=st.integers(1, 20),
    plan=st.sampled_from([Plan.SWEEP, Plan.BOTH]),
    names=st.sampled_from([(), ("a",), ("b",), ("a", "b")]),
)
@settings(max_examples=100, deadline=None)
def test_it_answers_as_a_search_does(
    office: Office, seed: int, threshold: float, limit: int, plan: Plan, names: tuple[str, ...]
) -> None:
    """Whatever is answered at once is what the search answers, the moment aside."""
    near = office.records[f"s{seed % 1000}"][1].values()
    probe = next(iter(near)) if seed % 2 else unit(np.random.default_rng(seed), 1)[0]
    question = office.question(probe, plan, *names, threshold=threshold, limit=limit)
    (searched,) = office.gallery.search([question])
    at_once = office.gallery.at_once(question)
    assert isinstance(searched, Answer)
    assert at_once is None or (
        isinstance(at_once, Answer) and replace(at_once, moment_ns=searched.moment_ns) == searched
    )


def test_who_is_enrolled_is_found_at_once(office: Office, probe: np.ndarray) -> None:
    """What gates ask is answered so, once their lists have been searched."""
    question = office.question(probe, Plan.BOTH, threshold=0.9)
    office.gallery.search([question])
    answer = office.gallery.at_once(question)
    assert isinstance(answer, Answer)
    assert answer.candidates[0].subject_id == "s8"


def test_lists_that_were_not_searched_yet_are_not_begun_with(office: Office, probe: np.ndarray) -> None:
    """Who counts among them is worked out by a search, with changes held off."""
    office.apply()
    made = Office(Watchlist("new"))
    made.enrol("x", probe[np.newaxis], "new")
    question = made.question(probe, Plan.BOTH, "new")
    assert made.gallery.at_once(question) is None
    made.gallery.search([question])
    assert isinstance(made.gallery.at_once(question), Answer)


def test_a_threshold_that_many_reach_is_left_to_a_search(office: Office, probe: np.ndarray) -> None:
    """More are to be compared then than were proposed: all, perhaps."""
    question = office.question(probe, Plan.BOTH, threshold=-1.0, limit=100)
    office.gallery.search([question])
    assert office.gallery.at_once(question) is None


def test_an_exact_comparison_is_left_to_a_search(office: Office, probe: np.ndarray) -> None:
    """It passes over everybody."""
    question = office.question(probe, Plan.EXACT, threshold=0.9)
    office.gallery.search([question])
    assert office.gallery.at_once(question) is None


def test_what_can_not_be_answered_is_an_error_at_once(office: Office, probe: np.ndarray) -> None:
    """An unknown list, or a caller who has stopped waiting, needs no search."""
    late = replace(office.question(probe, Plan.BOTH, threshold=0.9), answer_by=time.monotonic() - 1)
    office.gallery.search([late])
    assert isinstance(office.gallery.at_once(late), DeadlineTooShort)
    unknown = office.question(probe, Plan.BOTH, "none such", threshold=0.9)
    (searched,) = office.gallery.search([unknown])
    assert isinstance(searched, WatchlistNotFound)
    assert office.gallery.at_once(unknown) is None


@pytest.fixture
def changing() -> Iterator[Consistency]:
    """A state that somebody is changing for as long as the test lasts."""
    consistency, begun, end = Consistency(), threading.Event(), threading.Event()

    def change() -> None:
        with consistency.taking_away():
            begun.set()
            end.wait(10)

    thread = threading.Thread(target=change)
    thread.start()
    begun.wait(10)
    yield consistency
    end.set()
    thread.join()


def test_a_change_under_way_is_not_waited_for(changing: Consistency) -> None:
    """The event loop would stand still with it."""
    with pytest.raises(NotAtOnce):
        changing.at_once(lambda _: 1, lambda: None)


def test_holding_changes_off_is_not_waited_for(changing: Consistency) -> None:
    """Nor is the turn of who would hold them off."""

    def hold() -> None:
        with changing.held_off():
            pass

    with pytest.raises(NotAtOnce):
        changing.at_once(lambda _: 1, hold)


def test_what_was_disturbed_is_not_made_again() -> None:
    """What was read beside a change is no answer, and a second try is a search's business."""
    consistency = Consistency()

    def disturbed(_: object) -> int:
        thread = threading.Thread(target=_take_away, args=(consistency,))
        thread.start()
        thread.join()
        return 1

    with pytest.raises(NotAtOnce):
        consistency.at_once(disturbed, lambda: None)


def test_afterwards_the_same_thread_may_wait_again() -> None:
    """A search that follows in the thread holds changes off as ever."""
    consistency = Consistency()
    assert consistency.at_once(lambda _: 1, lambda: None) == 1
    with consistency.held_off():
        pass


def _take_away(consistency: Consistency) -> None:
    with consistency.taking_away():
        pass
