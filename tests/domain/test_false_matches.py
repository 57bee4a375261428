"""Thresholds follow a target by what is known of a recogniser, and never beyond it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gerbang_service.domain.false_matches import STEPS, FalseMatchRates, Point, fmr_for, fpir_of, step_of
from gerbang_service.domain.threshold_texts import describe, warning
from gerbang_service.domain.thresholds import Rule, Source, as_float32
from gerbang_service.domain.watchlists import Watchlist

RATES = FalseMatchRates((Point(1e-2, 0.25, "one"), Point(1e-4, 0.4, "one"), Point(3e-6, 0.49, "other")))
LOWEST, FIRST = 3e-6, 1e-2

targets = st.floats(1e-9, 0.5)
templates = st.integers(1, 10**8)
some_points = st.lists(
    st.tuples(st.floats(-9, -0.1), st.floats(-1, 1)), min_size=1, max_size=6, unique_by=(lambda p: p[0], lambda p: p[1])
).map(
    lambda pairs: FalseMatchRates(
        tuple(
            Point(10**exponent, cosine, "")
            for exponent, cosine in zip(
                sorted((e for e, _ in pairs), reverse=True), sorted(c for _, c in pairs), strict=True
            )
        )
    )
)


@given(some_points, st.floats(1e-12, 0.999), st.floats(1e-12, 0.999))
def test_a_lower_rate_is_at_no_lower_cosine_and_never_beyond_the_points(
    rates: FalseMatchRates, one: float, other: float
) -> None:
    cosines = [rates.cosine_for(each) for each in (max(one, other), min(one, other))]
    assert rates.points[0].cosine <= cosines[0] <= cosines[1] + 1e-12
    assert cosines[1] <= rates.points[-1].cosine + 1e-12


@given(some_points, st.floats(0, 1))
def test_a_rate_and_its_cosine_lead_to_each_other(rates: FalseMatchRates, share: float) -> None:
    """At the points exactly, between them by the logarithm; beyond them nothing is said."""
    for each in rates.points:
        assert rates.cosine_for(each.fmr) == pytest.approx(each.cosine, abs=1e-9)
        assert rates.fmr_at(each.cosine) == each.fmr
    first, last = rates.points[0], rates.points[-1]
    fmr = math.exp(math.log(first.fmr) + share * math.log(last.fmr / first.fmr))
    cosine = min(last.cosine, max(first.cosine, rates.cosine_for(fmr)))
    back = rates.fmr_at(cosine)
    assert back is not None
    # Where two points are all but at one cosine, the rate between them can't be told from it.
    assert rates.cosine_for(back) == pytest.approx(cosine, abs=1e-6)
    assert rates.fmr_at(np.nextafter(first.cosine, -2)) is rates.fmr_at(np.nextafter(last.cosine, 2)) is None


def test_between_points_the_logarithm_counts() -> None:
    assert RATES.cosine_for(1e-3) == pytest.approx(0.325)
    assert RATES.fmr_at(0.325) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    "points", [(), ((0.0, 0.1),), ((1.0, 0.1),), ((1e-3, 0.2), (1e-3, 0.3)), ((1e-3, 0.3), (1e-4, 0.3))]
)
def test_what_are_no_points_is_refused(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match="rate"):
        FalseMatchRates(tuple(Point(fmr, cosine, "") for fmr, cosine in points))


@given(targets, templates)
def test_the_needed_rate_meets_the_target(target: float, count: int) -> None:
    """FPIR = 1 - (1 - FMR)^N, to float64's rounding; N times FMR is never less."""
    fmr = fmr_for(target, count)
    assert fpir_of(fmr, count) == pytest.approx(target, rel=1e-9)
    assert fpir_of(fmr, count) <= count * fmr * (1 + 1e-12)


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_steps_are_near_and_in_order(one: int, other: int) -> None:
    """A threshold is worked out for at least as many as there are, and for a fifth more at most, or for 16."""
    assert one <= step_of(one) <= max(16, math.ceil(one * 2**0.25))
    assert (one <= other) <= (step_of(one) <= step_of(other))
    assert step_of(step_of(one)) == step_of(one)
    assert STEPS[0] == 16


@given(targets, targets, templates, templates)
def test_a_longer_list_or_a_lower_target_never_lowers_a_threshold(
    target: float, other: float, few: int, many: int
) -> None:
    low, high = sorted((target, other))
    few, many = sorted((few, many))
    strict, lax = Rule(None, low, RATES), Rule(None, high, RATES)
    assert lax.of_server(few).cosine <= strict.of_server(few).cosine <= strict.of_server(many).cosine
    made = strict.of_server(many)
    assert 0.25 <= made.cosine <= as_float32(0.49)
    assert made.target_not_shown == (fmr_for(low, many) < LOWEST)
    assert made.expected_fpir is not None
    if not made.target_not_shown:
        assert made.expected_fpir <= low * (1 + 1e-9)


def test_where_the_target_is_below_what_is_known_the_last_point_counts_and_says_so() -> None:
    shown, beyond = (Rule(None, 0.001, RATES).of_server(count) for count in (300, 3000))
    assert (shown.target_not_shown, shown.source) == (False, Source.TARGET)
    assert (beyond.target_not_shown, beyond.fmr) == (True, LOWEST)
    assert beyond.cosine == as_float32(0.49)
    assert beyond.expected_fpir == pytest.approx(0.00896, rel=0.01)
    assert "can't be shown" in describe(beyond)
    assert "8.96 of 1,000 strangers" in describe(beyond)
    assert warning(shown) is None
    assert "can't be shown" in str(warning(beyond))
    (only,) = (FalseMatchRates((Point(1e-6, 0.4078, "README"),)),)
    for count, lacks in ((10, False), (999, False), (1001, True)):
        made = Rule(None, 0.001, only).of_server(count)
        assert (made.cosine, made.target_not_shown) == (as_float32(0.4078), lacks)


def test_a_fixed_threshold_says_how_many_strangers_it_stops() -> None:
    """More than 10 of 1,000 are warned of, below the first point as well; above the last nobody knows."""
    few, many, lax, strict = (Rule(cosine, None, RATES).of_server(300) for cosine in (0.45, 0.4, 0.2, 0.6))
    assert few.expected_fpir == pytest.approx(300 * 1.43e-5, rel=0.01)
    assert warning(few) is None
    assert "29.6 of 1,000 strangers" in str(warning(many))
    assert "more than 951 of 1,000 strangers" in str(warning(lax))
    assert (strict.fmr, strict.expected_fpir, warning(strict)) == (None, None, None)
    assert "not known: it is outside" in describe(strict)
    assert "no rates are known" in describe(Rule(0.5).of_server(9))


def test_a_lists_target_that_can_not_be_met_leaves_it_the_servers_threshold_and_says_so() -> None:
    """As after a change to a recogniser of which nothing is known."""
    made = Rule(0.5).of_list(Watchlist("w", target_fpir=0.01), 300)
    assert (made.cosine, made.source, made.target_not_shown) == (0.5, Source.SETTING, True)
    assert "no false match rates" in str(warning(made))
    for cannot in ({}, {"fixed": 0.5, "target_fpir": 0.1, "rates": RATES}, {"target_fpir": 0.1}):
        with pytest.raises(ValueError, match="a fixed threshold, or a target"):
            Rule(**cannot)
