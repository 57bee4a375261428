"""What is counted of one phase of a load, in one process or, merged, in all."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks.loading.failures import Failure
from benchmarks.loading.histogram import Histogram
from benchmarks.loading.kinds import Asked, Kind, wrong


@dataclass
class Tally:
    """Counts over a window of `seconds`; everything before it is warm-up.

    answered: probes (or people) whose answer came within the window. calls: calls (items of a stream) answered that
    were to be sent within it, with `latency` from then on to the answer, and how `late` they were sent. offered: calls
    that were sent, or were to be. errors: by status and reason. checked, missed: mates.
    """

    seconds: float = 0.0
    offered: int = 0
    answered: int = 0
    latency: Histogram = field(default_factory=Histogram)
    late: Histogram = field(default_factory=Histogram)
    errors: Counter[str] = field(default_factory=Counter)
    with_retry_info: int = 0
    checked: int = 0
    missed: int = 0
    processor_s: float = 0.0

    def merge(self, other: Tally) -> None:
        """Count what another process counted in the same window."""
        self.seconds = max(self.seconds, other.seconds)
        self.latency.merge(other.latency)
        self.late.merge(other.late)
        self.errors.update(other.errors)
        for name in ("offered", "answered", "with_retry_info", "checked", "missed", "processor_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def per_s(self) -> float:
        """Probes answered a second."""
        return self.answered / self.seconds if self.seconds else 0.0

    def summary(self) -> dict[str, Any]:
        """Return the figures for people and for JSON."""
        return {
            "per_s": round(self.per_s, 1),
            "calls": self.latency.count,
            "offered_calls_per_s": round(self.offered / self.seconds, 1) if self.seconds else 0.0,
            "latency_ms": self.latency.summary_ms(),
            "sent_late_ms": self.late.summary_ms(),
            "errors": dict(self.errors),
            "errors_with_retry_info": self.with_retry_info,
            "mates_checked": self.checked,
            "mates_missed": self.missed,
            "client_us_per_call": round(self.processor_s / max(self.offered, 1) * 1e6, 1),
        }


class Counting:
    """Fills a tally while calls come and go; cheap, since every microsecond is taken from the server's machine."""

    def __init__(self, kind: Kind, begin: float, end: float, check_every: int) -> None:
        """`begin`, `end`: the window on the clock of time.perf_counter. `check_every`: 1 = each; 0 = no answer."""
        self.kind = kind
        self.begin, self.end = begin, end
        self.finished = self.failed = 0
        self._check_every = check_every
        self._turn = 0
        self._tally = Tally(seconds=end - begin)
        self._latencies: list[float] = []
        self._late: list[float] = []
        self._processor_s = 0.0

    def start_window(self) -> None:
        """Note that the warm-up is over."""
        self._processor_s = time.process_time()

    def sent(self, intended: float, now: float) -> None:
        """Count a call of an open loop that was to be sent at `intended` and is sent now."""
        if intended >= self.begin:
            self._late.append(now - intended)

    def answer(self, asked: Asked, answer: bytes, intended: float) -> None:
        """Count an answer."""
        now = time.perf_counter()
        self.finished += 1
        if self.begin <= now < self.end:
            self._tally.answered += asked.probes
        if intended < self.begin:
            return
        self._tally.offered += 1
        self._latencies.append(now - intended)
        self._turn += 1
        if asked.mates and self._check_every and self._turn % self._check_every == 0:
            self._tally.checked += sum(each is not None for each in asked.mates)
            self._tally.missed += wrong(self.kind, answer, asked.mates)

    def failure(self, failure: Failure, intended: float) -> None:
        """Count a call, or an item of a stream, that failed."""
        self.failed += 1
        if intended >= self.begin:
            self._tally.offered += 1
            self._tally.errors[failure.name] += 1
            self._tally.with_retry_info += failure.retry_info

    def tally(self) -> Tally:
        """Return what was counted."""
        self._tally.processor_s = time.process_time() - self._processor_s
        self._tally.latency.add(self._latencies)
        self._tally.late.add(self._late)
        return self._tally
