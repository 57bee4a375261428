"""Whether the machine was quiet while something was measured: what else ran flatters a ratio, or spoils it."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# Of others' load, processes; and by so much the same work may take longer after than before, or the other way round.
_MOST_LOAD = 0.5
_MOST_DRIFT = 0.1
_LOOPS = 15
_STEPS = 200_000


@dataclass(slots=True)
class Quietness:
    """How loud it was.

    `load_before`: the load average of a minute; `calibration_ms`: of a fixed loop, before and after.
    """

    load_before: float
    load_after: float
    calibration_ms: tuple[float, float]

    @property
    def quiet(self) -> bool:
        """Whether figures taken between may be quoted without a mark."""
        before, after = self.calibration_ms
        return self.load_before <= _MOST_LOAD and abs(after / before - 1) <= _MOST_DRIFT

    def __str__(self) -> str:
        """Tell, in a line."""
        before, after = self.calibration_ms
        return (
            f"{'quiet' if self.quiet else 'NOT QUIET'}: load average {self.load_before:.2f} before, "
            f"{self.load_after:.2f} after (this benchmark's own too); a fixed loop: {before:.1f} ms, then {after:.1f}"
        )


@contextmanager
def watched() -> Iterator[Quietness]:
    """Look before and after; what is yielded is filled in at the end."""
    found = Quietness(os.getloadavg()[0], 0.0, (_calibration_ms(), 0.0))
    yield found
    found.load_after = os.getloadavg()[0]
    found.calibration_ms = (found.calibration_ms[0], _calibration_ms())


def _calibration_ms() -> float:
    """Return how long a fixed loop takes, the median of several runs: longer when something else runs."""
    times = []
    for _ in range(_LOOPS):
        started = time.perf_counter()
        for _ in range(_STEPS):
            pass
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3
