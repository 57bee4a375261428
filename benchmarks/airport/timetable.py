"""When travellers come to the gates: flights in a morning and an evening wave, each with a planeload of people."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SEATS = 180
# Middle and width of the waves, and the share of flights in each, as parts of the day; the rest are spread over it.
_WAVES = ((0.33, 0.06, 0.4), (0.74, 0.07, 0.4))
# A planeload arrives at the gates over about this part of the day (a quarter of an hour).
_WALK = 0.01


def travellers(count: int, seconds: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Return when each comes, seconds from the start of a day of so many seconds, ascending."""
    flights = max(count // _SEATS, 1)
    wave = random.random(flights)
    landed = random.random(flights)
    first = 0.0
    for middle, width, share in _WAVES:
        inside = (first <= wave) & (wave < first + share)
        landed[inside] = random.normal(middle, width, int(inside.sum()))
        first += share
    times = landed[random.integers(0, flights, count)] + random.exponential(_WALK, count)
    ordered: NDArray[np.float64] = np.sort(np.clip(times, 0.0, 1.0)) * seconds
    return ordered


def clock(part: float) -> str:
    """Return the time of day, as 14:05, of a part of it, 0 to 1."""
    minutes = int(min(max(part, 0.0), 1.0) * 24 * 60)
    return f"{minutes // 60:02}:{minutes % 60:02}"
