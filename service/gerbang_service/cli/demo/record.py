"""What was asked and answered in the demo, how long it took, and whether it was right."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from gerbang import GerbangError, Unavailable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Event:
    """One call and its answer.

    `at_s`: seconds since the demo's beginning; `kind`: the call; `similarity`: None where there was none to tell;
    `expected`: what would have been right, in the words of `answer`.
    """

    at_s: float
    kind: str
    place: str
    who: str
    truth: str
    answer: str
    expected: str
    similarity: float | None
    ms: float
    right: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer in words, to be compared with the words of the right one."""

    answer: str
    similarity: float | None = None


@dataclass(slots=True)
class Record:
    """All events so far, in chapters. Calls are made and timed through `ask`."""

    events: list[Event] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    def ask(
        self,
        kind: str,
        place: str,
        who: tuple[str, str],
        call: Callable[[], T],
        judge: Callable[[T], Verdict],
        expected: Iterable[str],
    ) -> T | None:
        """Make a call, note what `judge` makes of its answer, and return the answer; None when it failed.

        `who`: a name and what is true of them. A failure's words are its reason: right where that is `expected`.
        gerbang.Unavailable passes through: without a server, the story is over.
        """
        allowed = list(expected)
        began = time.perf_counter()
        answer: T | None = None
        try:
            answer = call()
        except Unavailable:
            raise
        except GerbangError as error:
            ms = (time.perf_counter() - began) * 1000
            verdict = Verdict(error.reason or error.code.name)
        else:
            ms = (time.perf_counter() - began) * 1000
            verdict = judge(answer)
        self.events.append(
            Event(
                at_s=began - self.began,
                kind=kind,
                place=place,
                who=who[0],
                truth=who[1],
                answer=verdict.answer,
                expected=" or ".join(allowed),
                similarity=verdict.similarity,
                ms=ms,
                right=verdict.answer in allowed,
            )
        )
        return answer

    @property
    def wrong(self) -> list[Event]:
        """Events whose answer was not right."""
        return [event for event in self.events if not event.right]


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that `share` (0 to 1) of the values do not exceed; values must not be empty."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
