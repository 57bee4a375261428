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
class Question:
    """A call about to be made: which one, by whom, about whom, what is true of them, and the right answers in words."""

    call: str
    place: str
    who: str
    truth: str
    right: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer in words, to be compared with the words of the right one; and the score, where there is one to tell."""

    words: str
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A question and what it was answered. `at_s`: seconds since the demo's beginning."""

    question: Question
    verdict: Verdict
    at_s: float
    ms: float

    @property
    def right(self) -> bool:
        """Whether the answer was one of the right ones."""
        return self.verdict.words in self.question.right


@dataclass(slots=True)
class Record:
    """All events so far."""

    events: list[Event] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    def ask(self, question: Question, call: Callable[[], T], judge: Callable[[T], Verdict]) -> None:
        """Make a call, and note what `judge` makes of its answer. A failure's words are its reason.

        gerbang.Unavailable passes through: without a server, the story is over.
        """
        began = time.perf_counter()
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
        self.note(question, verdict, began, ms)

    def note(self, question: Question, verdict: Verdict, began: float, ms: float) -> None:
        """Add an event that began at `began` (of time.perf_counter) and took `ms`."""
        self.events.append(Event(question, verdict, began - self.began, ms))

    @property
    def wrong(self) -> list[Event]:
        """Events whose answer was not right."""
        return [event for event in self.events if not event.right]


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest of the values (at least one) that `share` of them, 0 to 1, do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
