"""When the calls of an open loop are to be sent: fixed beforehand, whatever the server does."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Arrivals: TypeAlias = Literal["poisson", "even"]


def arrivals(rate: float, seconds: float, kind: Arrivals, part: tuple[int, int], seed: int) -> NDArray[np.float64]:
    """Return the times of sending of one of several generators, seconds from the start, ascending, below `seconds`.

    rate: calls a second of all generators together, > 0. part: (number of this one, how many there are). Poisson:
    independent travellers; even: a metronome, on which the generators take turns.
    """
    number, count = part
    if kind == "even":
        mine = np.arange(number, int(np.ceil(rate * seconds)), count) / rate
        return mine[mine < seconds]
    random = np.random.default_rng((seed, number))
    mean = rate * seconds / count
    # Given how many arrive, a Poisson process's arrivals are independent and uniform.
    return np.sort(random.uniform(0.0, seconds, int(random.poisson(mean))))
