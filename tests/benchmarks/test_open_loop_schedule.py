"""The calls of an open loop come at the rate asked for, however many generators share them."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.loading.schedule import Arrivals, arrivals
from hypothesis import given
from hypothesis import strategies as st


@given(st.floats(0.5, 500.0), st.floats(0.1, 20.0), st.integers(1, 5))
def test_generators_taking_turns_are_one_metronome(rate: float, seconds: float, count: int) -> None:
    parts = [arrivals(rate, seconds, "even", (i, count), 1) for i in range(count)]
    together = np.sort(np.concatenate(parts))
    assert np.allclose(together, np.arange(len(together)) / rate)
    assert abs(len(together) - rate * seconds) <= 1


def test_poisson_arrivals_vary_as_much_as_they_should_at_the_rate_asked_for() -> None:
    parts = [arrivals(1000.0, 100.0, "poisson", (i, 3), 7) for i in range(3)]
    together = np.sort(np.concatenate(parts))
    assert len(together) == pytest.approx(100_000, abs=4 * 100_000**0.5)
    gaps = np.diff(together)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.02)


@pytest.mark.parametrize("kind", ["poisson", "even"])
def test_times_ascend_and_end_before_the_end(kind: Arrivals) -> None:
    times = arrivals(333.3, 3.0, kind, (1, 2), 1)
    assert (np.diff(times) >= 0).all()
    assert times.min() >= 0.0
    assert times.max() < 3.0
