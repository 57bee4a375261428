"""Many threads' work, run together, without making any of them wait for company."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(slots=True, eq=False)
class _Job(Generic[Q, A]):
    question: Q
    answer: A | None = None
    error: Exception | None = None
    done: bool = False


class Batches(Generic[Q, A]):
    """Calls a function of many questions with those of many threads. Thread-safe.

    While one batch runs, questions queue, and the next batch takes all of them, up to a cap. A thread that finds
    nothing running runs the batch itself, so an idle device answers without a hand-over. There is no thread to end.
    """

    def __init__(self, run: Callable[[Sequence[Q]], Sequence[A]], largest: int) -> None:
        """`run`: answers questions in order, never called twice at once; `largest`: the cap, at least 1."""
        self._run = run
        self._largest = largest
        self._waiting: deque[_Job[Q, A]] = deque()
        self._running = False
        self._changed = threading.Condition()

    def ask(self, question: Q) -> A:
        """Return the answer; raises what its batch raised. Blocks until then."""
        job: _Job[Q, A] = _Job(question)
        with self._changed:
            self._waiting.append(job)
        while batch := self._next_batch(job):
            self._answer(batch)
            with self._changed:
                self._running = False
                self._changed.notify_all()
        if job.error is not None:
            raise job.error
        return job.answer  # type: ignore[return-value]  # done without an error, it has one

    def _next_batch(self, job: _Job[Q, A]) -> list[_Job[Q, A]]:
        """Wait for the turn to run a batch and return it, or nothing once `job` is done."""
        with self._changed:
            self._changed.wait_for(lambda: job.done or not self._running)
            if job.done:
                return []
            self._running = True
            return [self._waiting.popleft() for _ in range(min(self._largest, len(self._waiting)))]

    def _answer(self, batch: Sequence[_Job[Q, A]]) -> None:
        try:
            for job, answer in zip(batch, self._run([job.question for job in batch]), strict=True):
                job.answer = answer
        except Exception as error:  # noqa: BLE001 - handed to each caller
            for job in batch:
                job.error = error
        for job in batch:
            job.done = True
