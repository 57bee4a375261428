"""Where questions are answered: in the event loop itself, or by threads that take many at a time.

What costs less than to hand it to a thread is answered at once, one question in a turn of the loop. What else arrives
in that turn, and what a stream brings while more of it is under way, is work for another processor. It queues: whoever
searches next takes all that wait, up to a cap, and nobody waits for company.
"""

from __future__ import annotations

import asyncio
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from gerbang_service.domain.errors import DeadlineTooShort, Overloaded
from gerbang_service.telemetry.meter import UNMETERED, Meter
from gerbang_service.threads.admission import Admission, Deadline

Question = TypeVar("Question")
Answer = TypeVar("Answer")

# Questions in one batch, at most: from here on a probe's share of a pass gets hardly smaller (docs/performance.md).
LARGEST_BATCH = 32
# And at least, and the processor time that a batch may take, seconds: among 100,000 a probe costs as much in a batch of
# 8 as in one of 32, and who comes first would only wait for the last.
_SMALLEST_BATCH = 4
_BATCH_S = 0.003
# By so much the least cost of a question seen rises again with each batch: what is taken for the cost is what it is
# when nothing disturbs, or batches would get smaller, and dearer, the busier the machine is.
_FORGETTING = 1.001
# How long what waits may take to be searched, seconds; more is refused: gates give up after a second or a few. But not
# before those who are searched have waited for half of it: a single slow batch foretells nothing.
_LONGEST_WAIT_S = 0.7
# What costs no more than this, seconds, is answered in the event loop: handing it to a thread and back costs as much,
# and all others wait for so long at most (docs/performance.md).
_AT_ONCE_S = 0.0004


@dataclass(frozen=True, slots=True, eq=False)
class _Job(Generic[Question, Answer]):
    """Questions of one call. `answers`: belongs to the event loop; `arrived`: on the clock of time.monotonic."""

    questions: Sequence[Question]
    deadline: Deadline
    answers: asyncio.Future[list[Answer]]
    arrived: float


class Batcher(Generic[Question, Answer]):
    """Threads that search, behind an admission. Made in, and used from, one event loop."""

    def __init__(
        self,
        search: Callable[[Sequence[Question]], Sequence[Answer]],
        threads: int,
        admission: Admission,
        meter: Meter = UNMETERED,
        on_start: Callable[[], object] = lambda: None,
        name: str = "search",
        at_once: Callable[[Question], Answer | None] | None = None,
    ) -> None:
        """`search`: answers questions in order; called by `threads` threads at once. Each first calls `on_start`.

        `admission`: of questions; `name`: of the threads. `at_once`: answers a question in the event loop, or returns
        None where that would take long; None: all are for the threads.
        """
        self._search = search
        self._at_once = at_once
        self._free_this_turn = True
        self._on_start = on_start
        self._meter = meter
        self._admission = admission
        self._loop = asyncio.get_running_loop()
        self._waiting: queue.SimpleQueue[_Job[Question, Answer] | None] = queue.SimpleQueue()
        self._arrived: list[_Job[Question, Answer]] = []
        self._largest = LARGEST_BATCH
        # Of the last batch: seconds a question, and how long its first one had waited.
        self._of_one = 0.0
        self._waited_s = 0.0
        # The least processor time of a question lately.
        self._least_cost_s = math.inf
        if at_once is not None:
            on_start()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pending(self) -> int:
        """Questions that wait or are searched."""
        return self._admission.admitted

    @property
    def limit(self) -> int:
        """Pending questions beyond which more are refused."""
        return int(max(1, min(self._in_time(), self._admission.limit)))

    def _in_time(self) -> float:
        """Return how many pending questions are searched before they have waited for too long.

        Inf: nobody waits long.
        """
        if self._waited_s <= _LONGEST_WAIT_S / 2 or not self._of_one:
            return math.inf
        return _LONGEST_WAIT_S * len(self._threads) / self._of_one

    async def run(self, questions: Sequence[Question], deadline: Deadline, *, alone: bool = True) -> list[Answer]:
        """Answer questions, each with its candidates, in order. `alone`: more of the same caller are not on their way.

        Raises Overloaded at once when too many wait, DeadlineTooShort when the deadline passed before the search began.
        When the caller goes away before that, nothing is searched.
        """
        if not questions:
            return []
        if alone and len(questions) == 1 and (answer := self._answer_at_once(questions[0])) is not None:
            return [answer]
        if self.pending > self._in_time():
            wait_s = self.pending * self._of_one / len(self._threads)
            raise Overloaded(f"{self.pending} searches are waiting already", retry_after_s=wait_s)
        with self._admission.admit(len(questions)):
            if len(questions) <= LARGEST_BATCH:
                return await self._arrive(questions, deadline)
            parts = [questions[i : i + LARGEST_BATCH] for i in range(0, len(questions), LARGEST_BATCH)]
            answers = await asyncio.gather(*(self._arrive(part, deadline) for part in parts))
            return [each for part in answers for each in part]

    def _answer_at_once(self, question: Question) -> Answer | None:
        if self._at_once is None or self._least_cost_s > _AT_ONCE_S or not self._free_this_turn:
            return None
        self._free_this_turn = False
        self._loop.call_soon(self._begin_turn)
        started = time.perf_counter()
        answer = self._at_once(question)
        if answer is not None:
            took_s = time.perf_counter() - started
            self._meter.searched(1, took_s)
            self._note_cost(took_s)
        return answer

    def _begin_turn(self) -> None:
        self._free_this_turn = True

    def _note_cost(self, of_one_s: float) -> None:
        self._least_cost_s = max(min(of_one_s, _FORGETTING * self._least_cost_s), _BATCH_S / LARGEST_BATCH)
        self._largest = max(_SMALLEST_BATCH, int(_BATCH_S / self._least_cost_s))

    def _arrive(self, questions: Sequence[Question], deadline: Deadline) -> asyncio.Future[list[Answer]]:
        answers: asyncio.Future[list[Answer]] = self._loop.create_future()
        if not self._arrived:
            self._loop.call_soon(self._hand_over)
        self._arrived.append(_Job(questions, deadline, answers, time.monotonic()))
        return answers

    def _hand_over(self) -> None:
        """Let the threads have what arrived in this turn of the event loop, all of it before one of them wakes."""
        for job in self._arrived:
            self._waiting.put(job)
        self._arrived.clear()

    def stop(self) -> None:
        """Finish what waits and end the threads."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    # --- in the threads -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        self._on_start()
        while (first := self._waiting.get()) is not None:
            jobs, stopped = self._take(first)
            self._waited_s = time.monotonic() - first.arrived
            self._loop.call_soon_threadsafe(_settle, self._answer(jobs))
            if stopped:
                return

    def _take(self, first: _Job[Question, Answer]) -> tuple[list[_Job[Question, Answer]], bool]:
        """Return the jobs of the next batch, and whether the thread is to end after them."""
        # Not more than its share: the others may be idle.
        jobs, size, share = [first], len(first.questions), -(-(self._waiting.qsize() + 1) // len(self._threads))
        # Behind a long queue all wait anyway, and larger batches serve more of them.
        largest = LARGEST_BATCH if self._waiting.qsize() > LARGEST_BATCH else self._largest
        while size < largest and len(jobs) < share:
            try:
                job = self._waiting.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return jobs, True
            jobs.append(job)
            size += len(job.questions)
        return jobs, False

    def _answer(
        self, jobs: Sequence[_Job[Question, Answer]]
    ) -> list[tuple[_Job[Question, Answer], list[Answer] | Exception]]:
        live: list[_Job[Question, Answer]] = []
        late: list[tuple[_Job[Question, Answer], list[Answer] | Exception]] = []
        for job in jobs:
            if job.answers.cancelled():
                continue
            if job.deadline.remaining_s <= 0:
                late.append((job, DeadlineTooShort("the call's deadline passed before its search began")))
            else:
                live.append(job)
        if not live:
            return late
        started, started_cpu = time.perf_counter(), time.thread_time()
        searched = self._search_jobs(live)
        count = sum(len(job.questions) for job in live)
        took_s = time.perf_counter() - started
        self._of_one = took_s / count
        self._meter.searched(count, took_s)
        self._note_cost((time.thread_time() - started_cpu) / count)
        return late + searched

    def _search_jobs(
        self, jobs: Sequence[_Job[Question, Answer]]
    ) -> list[tuple[_Job[Question, Answer], list[Answer] | Exception]]:
        try:
            answers = iter(self._search([each for job in jobs for each in job.questions]))
        except Exception as error:  # noqa: BLE001 - handed to the caller
            if len(jobs) == 1:
                return [(jobs[0], error)]
            # Alone, each fails or succeeds by itself.
            return [outcome for job in jobs for outcome in self._search_jobs([job])]
        return [(job, [next(answers) for _ in job.questions]) for job in jobs]


def _settle(done: Sequence[tuple[_Job[Question, Answer], list[Answer] | Exception]]) -> None:
    for job, outcome in done:
        if job.answers.done():  # its caller has gone
            continue
        if isinstance(outcome, Exception):
            job.answers.set_exception(outcome)
        else:
            job.answers.set_result(outcome)
