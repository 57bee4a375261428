"""Finding a contender's best setting: fast enough is chosen only among what misses little enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.contest.closed_loop import Measured
from benchmarks.contest.contenders import Contender, Unable

MOST_MISSED = 0.001


@dataclass(frozen=True, slots=True)
class Entry:
    """What is tried of a contender.

    ladders: each a way to search, its settings from the fastest to the most thorough; of each, the first that misses
    little enough is kept. clients: calls in flight that are tried, by the number of probes a call carries.
    """

    contender: Contender
    ladders: Sequence[Sequence[Mapping[str, Any]]]
    clients: Mapping[int, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting with the calls in flight that suit it."""

    options: Mapping[str, Any]
    clients: int
    batch: int

    @property
    def text(self) -> str:
        """How it is printed."""
        chosen = [f"{name} {value}" for name, value in self.options.items()]
        return ", ".join([*chosen, f"{self.clients} {'call' if self.clients == 1 else 'calls'} in flight"])


@dataclass(frozen=True, slots=True)
class Tuner:
    """seconds: of each look at a rate. probes: that misses are counted over, at least. say: prints a line."""

    seconds: float
    probes: int
    say: Callable[[str], None]

    def best(self, entry: Entry) -> list[Setting]:
        """Return the best setting for each size of batch. Raises Unable when none misses little enough."""
        kept = [each for each in (self._climb(entry, ladder) for ladder in entry.ladders) if each is not None]
        if not kept:
            raise Unable(f"no setting misses at most {MOST_MISSED:.1%}")
        rates: dict[int, list[tuple[float, Setting]]] = {batch: [] for batch in entry.clients}
        for options in kept:
            entry.contender.apply(options)
            for batch, counts in entry.clients.items():
                tried = [Setting(options, clients, batch) for clients in counts]
                rates[batch] += [(self._rate(entry.contender, each), each) for each in tried]
        return [max(each, key=lambda tried: tried[0])[1] for each in rates.values()]

    def _rate(self, contender: Contender, setting: Setting) -> float:
        rate = contender.measure(setting.clients, setting.batch, self.seconds).per_s
        self.say(f"{contender.name}: {setting.text}, {setting.batch} a call: {rate:,.1f}/s")
        return rate

    def _climb(self, entry: Entry, ladder: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        for options in ladder:
            try:
                entry.contender.apply(options)
                found = self._misses(entry)
            except Unable as error:
                self.say(f"{entry.contender.name}: {dict(options)}: LEFT OUT: {error}")
                return None
            self.say(f"{entry.contender.name}: {dict(options)}: {found.missed} of {found.checked} missed")
            if few(found):
                return options
        return None

    def _misses(self, entry: Entry) -> Measured:
        """Ask until enough probes were checked, in the greatest batches; give up once it is clearly too many."""
        total, batch = Measured(), max(entry.clients)
        while total.checked < self.probes and total.missed <= 3 * MOST_MISSED * self.probes:
            found = entry.contender.measure(entry.clients[batch][0], batch, self.seconds)
            total.add(found)
            if not found.checked:
                break
        return total


def few(found: Measured) -> bool:
    """Return whether it missed little enough; what checks nothing has nothing to miss."""
    return found.missed <= MOST_MISSED * found.checked
