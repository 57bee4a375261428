"""Latencies in log-linear buckets, as HdrHistogram keeps them: any range at a fixed relative error, and mergeable.

Own code rather than PyPI's hdrhistogram, because that takes values one by one (microseconds of Python for each) and a
load generator that shares the server's machine must not spend those; this one takes arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# 2**_BITS buckets for every doubling: a bucket is at most 1/128 of its values wide.
_BITS = 7
_HALF = 1 << _BITS
# Values up to 2**47 ns, which is 39 hours; longer ones count as that.
_DOUBLINGS = 40
_MOST_NS = (1 << (_DOUBLINGS + _BITS)) - 1
_BUCKETS = (_DOUBLINGS + 1) * _HALF
RELATIVE_ERROR = 1 / _HALF

PERCENTILES = (50.0, 90.0, 99.0, 99.9)


@dataclass
class Histogram:
    """Counts of durations, seconds >= 0. Not thread-safe."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BUCKETS, np.int64))
    largest_ns: int = 0
    total_ns: int = 0

    def add(self, seconds: Sequence[float]) -> None:
        """Count durations, seconds; a negative one counts as 0."""
        if not len(seconds):
            return
        values = np.clip(np.rint(np.asarray(seconds, np.float64) * 1e9), 0, _MOST_NS).astype(np.int64)
        self.counts += np.bincount(_bucket(values), minlength=_BUCKETS)
        self.largest_ns = max(self.largest_ns, int(values.max()))
        self.total_ns += int(values.sum())

    def merge(self, other: Histogram) -> None:
        """Count what another histogram counted too."""
        self.counts += other.counts
        self.largest_ns = max(self.largest_ns, other.largest_ns)
        self.total_ns += other.total_ns

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return int(self.counts.sum())

    def percentile(self, percent: float) -> float:
        """Return the duration, seconds, that this share (0 to 100) does not exceed; 0 when nothing was counted.

        At most RELATIVE_ERROR too large, never too small.
        """
        count = self.count
        if not count:
            return 0.0
        rank = max(int(np.ceil(percent / 100 * count)), 1)
        bucket = int(np.searchsorted(np.cumsum(self.counts), rank))
        return min(_upper_ns(bucket), self.largest_ns) / 1e9

    def summary_ms(self) -> dict[str, float]:
        """Return mean, percentiles and the largest, milliseconds."""
        mean = self.total_ns / self.count if self.count else 0.0
        named = {f"p{each:g}": self.percentile(each) * 1e3 for each in PERCENTILES}
        figures = {"mean": mean / 1e6, **named, "max": self.largest_ns / 1e6}
        return {name: round(value, 3) for name, value in figures.items()}


def _bucket(values: NDArray[np.int64]) -> NDArray[np.int64]:
    # frexp's exponent is the bit length, exactly so below 2**53.
    shift = np.maximum(np.frexp(values.astype(np.float64))[1].astype(np.int64) - _BITS - 1, 0)
    return (shift << _BITS) + (values >> shift)


def _upper_ns(bucket: int) -> int:
    shift = max((bucket >> _BITS) - 1, 0)
    return ((bucket - (shift << _BITS) + 1) << shift) - 1
