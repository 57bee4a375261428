"""One stretch of load: what is sent where, how, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.loading.kinds import KINDS, Kind
from benchmarks.loading.schedule import Arrivals


@dataclass(frozen=True, slots=True)
class Phase:
    """For all client processes together.

    target: number of the target. kind: a name of KINDS. seconds, warm_up_s: the counted window, and what precedes it.
    clients: closed loop, so many calls in flight. rate: open loop, so many calls a second (then `clients` says
    nothing). most_waiting: calls in flight at most in an open loop; beyond it, sending waits, and its latency counts.
    deadline_s: of each unary call. check_every: every so-manieth answer with a known truth is checked, 0: none.
    """

    target: int
    kind: str
    seconds: float
    warm_up_s: float
    clients: int = 32
    rate: float | None = None
    arrivals: Arrivals = "poisson"
    most_waiting: int = 20_000
    deadline_s: float = 5.0
    check_every: int = 10
    seed: int = 1

    @property
    def of_kind(self) -> Kind:
        """The kind of calls."""
        return KINDS[self.kind]


def share(total: int, part: int, parts: int) -> int:
    """Return the part's share of a total: they differ by one at most."""
    return total // parts + (part < total % parts)
