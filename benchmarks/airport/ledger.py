"""What a day's calls came to: latencies and errors by kind, and every answer that was not the truth."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from benchmarks.loading.histogram import Histogram

from gerbang import GerbangError

T = TypeVar("T")
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Called(Generic[T]):
    """What a call came to, and when it began and ended, seconds since the epoch."""

    answer: T | GerbangError
    began: float
    ended: float


@dataclass
class Ledger:
    """Belongs to one event loop."""

    latency: dict[str, Histogram] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    checked: int = 0

    async def timed(self, kind: str, call: Awaitable[T]) -> Called[T]:
        """Await a call; its latency is counted if it succeeds."""
        began, started = time.time(), time.perf_counter()
        try:
            answer = await call
        except GerbangError as error:
            return Called(error, began, time.time())
        self.count(kind, time.perf_counter() - started)
        return Called(answer, began, time.time())

    def count(self, kind: str, seconds: float) -> None:
        """Count a duration."""
        self.latency.setdefault(kind, Histogram()).add([seconds])

    def failed(self, kind: str, error: GerbangError) -> None:
        """Count a call that failed."""
        self.errors[f"{kind}: {error.reason or type(error).__name__}"] += 1

    def check(self, *, right: bool, what: str) -> None:
        """Count an answer; say what a wrong one was."""
        self.checked += 1
        if right:
            return
        self.wrong += 1
        if self.wrong <= _SHOWN:
            print(f"WRONG: {what}", file=sys.stderr, flush=True)

    def summary(self) -> dict[str, Any]:
        """Return everything, for people and for JSON."""
        kinds = {kind: {"calls": each.count, **each.summary_ms()} for kind, each in sorted(self.latency.items())}
        return {"latency_ms": kinds, "checked": self.checked, "wrong": self.wrong, "errors": dict(self.errors)}
