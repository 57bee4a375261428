"""Latencies are counted to within a fixed relative error, whatever their size and however many processes count."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.loading.histogram import RELATIVE_ERROR, Histogram
from hypothesis import given
from hypothesis import strategies as st

DURATIONS = st.lists(st.floats(min_value=1e-9, max_value=1e4), min_size=1, max_size=200)


def of(seconds: list[float]) -> Histogram:
    histogram = Histogram()
    histogram.add(seconds)
    return histogram


@given(DURATIONS, st.floats(min_value=0.0, max_value=100.0))
def test_a_percentile_is_numpys_and_never_too_small(seconds: list[float], percent: float) -> None:
    exact = float(np.percentile(np.rint(np.array(seconds) * 1e9) / 1e9, percent, method="inverted_cdf"))
    found = of(seconds).percentile(percent)
    assert exact - 1e-9 <= found <= exact * (1 + RELATIVE_ERROR) + 1e-9


@given(DURATIONS, DURATIONS)
def test_merged_histograms_count_what_one_would(first: list[float], second: list[float]) -> None:
    merged, whole = of(first), of(first + second)
    merged.merge(of(second))
    assert np.array_equal(merged.counts, whole.counts)
    assert (merged.count, merged.largest_ns, merged.total_ns) == (whole.count, whole.largest_ns, whole.total_ns)


@given(DURATIONS)
def test_the_largest_is_exact(seconds: list[float]) -> None:
    assert of(seconds).percentile(100.0) == pytest.approx(max(seconds), abs=1e-9)


def test_nothing_counted_has_percentiles_of_zero() -> None:
    assert of([]).summary_ms() == {"mean": 0.0, "p50": 0.0, "p90": 0.0, "p99": 0.0, "p99.9": 0.0, "max": 0.0}


def test_what_is_out_of_range_counts_as_its_end() -> None:
    histogram = of([-1.0, 1e9])
    assert histogram.count == 2
    assert histogram.percentile(50.0) == 0.0
