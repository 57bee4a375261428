"""What a gate may be told of somebody follows from the changes acknowledged before the call, or underway during it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.airport.ledger import Ledger
from benchmarks.airport.people import NOT_ENROLLED, Person, State, faces, photographed
from benchmarks.airport.posts import Rules, Traveller, check_found
from benchmarks.airport.timetable import clock, travellers

from gerbang import Action, Candidate, IdentifyResponse

RANDOM = np.random.default_rng(3)
FACE = faces(1, RANDOM)[0]
LISTED = State(("red", "tangkal"), (FACE,))
RULES = Rules("-x")


def enrolled(begun: float = 10.0, acknowledged: float = 11.0) -> Person:
    person = Person("p", FACE)
    person.begin(begun, LISTED).acknowledged = acknowledged
    return person


@pytest.mark.parametrize(
    ("period", "possible"),
    [
        ((8.0, 9.9), [NOT_ENROLLED]),
        ((8.0, 10.5), [NOT_ENROLLED, LISTED]),
        ((10.5, 12.0), [NOT_ENROLLED, LISTED]),
        ((11.0, 12.0), [LISTED]),
    ],
)
def test_a_change_may_show_once_it_has_begun_and_must_once_it_is_acknowledged(
    period: tuple[float, float], possible: list[State]
) -> None:
    assert enrolled().possible(*period, lag=0.0) == possible


def test_a_lag_keeps_the_older_state_possible_for_so_long() -> None:
    assert enrolled().possible(11.05, 11.06, lag=0.1) == [NOT_ENROLLED, LISTED]
    assert enrolled().possible(11.15, 11.16, lag=0.1) == [LISTED]


def test_a_change_never_acknowledged_leaves_both_states_possible() -> None:
    person = enrolled()
    person.begin(20.0, NOT_ENROLLED)
    assert person.possible(99.0, 100.0, lag=0.0) == [LISTED, NOT_ENROLLED]


def test_an_entry_ends_at_its_time_and_the_templates_stay() -> None:
    person = enrolled()
    person.expire(15.0)
    assert person.possible(14.0, 14.9, lag=0.0) == [LISTED]
    assert person.possible(14.0, 15.1, lag=0.0) == [LISTED, replace(LISTED, lists=())]
    assert person.possible(15.0, 15.1, lag=0.0) == [replace(LISTED, lists=())]


def answered(similarity: float, **changes: object) -> IdentifyResponse:
    fields = {"subject_id": "p", "watchlists": ["red-x", "tangkal-x"], "action": Action.ACTION_REFUSE_ENTRY, **changes}
    return IdentifyResponse(hit=True, candidates=[Candidate(similarity=similarity, **fields)])  # type: ignore[arg-type]


def wrong(answer: IdentifyResponse, person: Person | None, direction: str = "arrival") -> int:
    ledger = Ledger()
    probe = photographed(FACE, 0.7, np.random.default_rng(1))
    check_found(answer, Traveller(probe, person), direction, RULES, ledger, (12.0, 12.1))
    assert ledger.checked == 1
    return ledger.wrong


def test_only_the_right_person_similarity_lists_and_action_are_right() -> None:
    person = enrolled()
    assert wrong(answered(0.7), person) == 0
    assert wrong(answered(0.7002), person) == 1
    assert wrong(answered(0.7, subject_id="q"), person) == 1
    assert wrong(answered(0.7, watchlists=["red-x"]), person) == 1
    assert wrong(answered(0.7, action=Action.ACTION_SILENT_ALERT), person) == 1
    assert wrong(IdentifyResponse(), person) == 1


def test_a_gate_of_the_other_direction_is_told_of_its_own_lists_alone() -> None:
    told = answered(0.7, watchlists=["red-x"], action=Action.ACTION_REFER_TO_OFFICER)
    assert wrong(told, enrolled(), "departure") == 0
    assert wrong(answered(0.7), enrolled(), "departure") == 1


def test_a_hit_is_wrong_for_a_stranger_and_for_somebody_not_enrolled_any_more() -> None:
    gone = enrolled()
    gone.begin(11.5, NOT_ENROLLED).acknowledged = 11.8
    for person in (None, gone):
        assert wrong(answered(0.7), person) == 1
        assert wrong(IdentifyResponse(), person) == 0


def test_everybody_comes_within_the_day_and_in_waves() -> None:
    times = travellers(20_000, 100.0, RANDOM)
    assert len(times) == 20_000
    assert (np.diff(times) >= 0).all()
    assert times.min() >= 0.0
    assert times.max() <= 100.0
    by_hour = np.histogram(times, 24, (0.0, 100.0))[0]
    assert by_hour.max() > 2 * np.median(by_hour)
    assert (clock(0.0), clock(0.5), clock(2.0)) == ("00:00", "12:00", "24:00")
