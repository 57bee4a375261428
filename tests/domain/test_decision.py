"""Decisions follow the thresholds of the lists that were searched."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from gerbang_service.domain.decision import Candidate, Comparison, Thresholds, decide, ranked
from gerbang_service.domain.thresholds import Rule, as_float32
from gerbang_service.domain.watchlists import Action, Direction, Watchlist

CEGAH = Watchlist("cegah", direction=Direction.DEPARTURE, action=Action.DEFER_DEPARTURE)
STRICT = Watchlist("strict", action=Action.SILENT_ALERT, threshold=0.8)
RED = Watchlist("red", action=Action.REFUSE_ENTRY, threshold=0.3)
ALL = {each.watchlist_id: each for each in (CEGAH, STRICT, RED)}


def compared(similarity: float, *lists: str, subject: str = "s") -> Comparison:
    return Comparison(subject, as_float32(similarity), 1, lists, {})


def thresholds(*, request: float | None = None) -> Thresholds:
    return Thresholds.of(list(ALL.values()), Rule(0.5), lambda _: 1, request=request)


def test_a_similarity_equal_to_the_threshold_is_a_hit() -> None:
    """A match is similarity >= threshold, also where the threshold is no exact float32."""
    assert decide(compared(0.7, "cegah"), thresholds(request=0.7), ALL) is not None


def test_only_the_lists_whose_threshold_was_passed_are_reported() -> None:
    """A candidate names the lists it hit in, the lowest threshold that it passed, and their gravest action."""
    found = decide(compared(0.6, "cegah", "red", "strict"), thresholds(), ALL)
    assert found is not None
    assert found.watchlists == ("cegah", "red")
    assert found.threshold == as_float32(0.3)
    assert found.action is Action.REFUSE_ENTRY


def test_a_list_with_a_lower_threshold_finds_who_is_below_the_servers() -> None:
    """A watchlist's own threshold replaces the server's, downwards too."""
    assert decide(compared(0.35, "red"), thresholds(), ALL) is not None
    assert decide(compared(0.35, "cegah"), thresholds(), ALL) is None


def test_the_requests_threshold_replaces_those_of_the_lists() -> None:
    """A request that names a threshold decides by it alone."""
    assert decide(compared(0.6, "strict"), thresholds(request=0.55), ALL) is not None
    assert decide(compared(0.5, "red"), thresholds(request=0.55), ALL) is None


def test_a_request_that_may_not_lower_thresholds_only_raises_them() -> None:
    """In each list the higher one is in force: the request's, or what is in force without it."""

    def in_force(request: float | None) -> tuple[float, dict[str, float]]:
        made = Thresholds.of(list(ALL.values()), Rule(0.5), lambda _: 1, request=request, never_below_own=True)
        return made.default.cosine, {name: each.cosine for name, each in made.by_list.items()}

    own = {"cegah": 0.5, "strict": as_float32(0.8), "red": as_float32(0.3)}
    for low in (None, -1.0, 0.0, 0.3):
        assert in_force(low) == (0.5, own)
    raised = as_float32(0.6)
    assert in_force(0.6) == (raised, {"cegah": raised, "strict": as_float32(0.8), "red": raised})


def test_a_subject_on_no_searched_list_is_no_candidate() -> None:
    """Lists that were not searched do not count, and neither does being on none."""
    only_red = Thresholds.of([RED], Rule(0.5), lambda _: 1)
    assert decide(compared(0.99, "cegah"), only_red, ALL) is None
    assert decide(compared(0.99), only_red, ALL) is None


@given(st.lists(st.tuples(st.floats(-1, 1, width=32), st.text(max_size=3)), max_size=20))
def test_ranking_is_by_similarity_then_subject_id(pairs: list[tuple[float, str]]) -> None:
    """Whatever the order of arrival, the ranking is the same: best first, ties by subject_id."""
    found = [Candidate(name, similarity, 0.0, 1) for similarity, name in pairs]
    keys = [(-each.similarity, each.subject_id) for each in ranked(found, 20)]
    assert keys == sorted(keys)
    assert keys == [(-each.similarity, each.subject_id) for each in ranked(found[::-1], 20)]
    assert ranked(found, 2) == ranked(found, 20)[:2]


def test_somebody_on_several_lists_has_the_lowest_of_their_thresholds() -> None:
    """From there on they are a candidate; on no list that is searched they never are."""
    assert thresholds().of_combination(("cegah", "red", "strict")) == as_float32(0.3)
    assert thresholds().of_combination(("strict", "not searched")) == as_float32(0.8)
    assert thresholds(request=0.6).of_combination(("red",)) == as_float32(0.6)
    assert thresholds().of_combination(("not searched",)) == math.inf


def test_a_list_concerns_travellers_of_its_direction_only() -> None:
    """BOTH concerns everyone, and a search for any direction concerns every list."""
    assert Direction.BOTH.concerns(Direction.ARRIVAL)
    assert Direction.ARRIVAL.concerns(Direction.BOTH)
    assert Direction.ARRIVAL.concerns(Direction.ARRIVAL)
    assert not Direction.ARRIVAL.concerns(Direction.DEPARTURE)
