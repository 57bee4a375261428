"""The recall check: some searches are answered a second time by exact comparison, to count whom the plan missed."""

from __future__ import annotations

import logging
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from gerbang_service.asking.recall import Recall, RecallQuestion, measure_recall
from gerbang_service.domain.decision import Candidate
from gerbang_service.domain.errors import ShuttingDown
from gerbang_service.domain.questions import Answer, Plan, Question
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.threads.admission import Admission, Deadline
from gerbang_service.threads.pool import Pool

log = logging.getLogger(__name__)

# Checks that may wait; beyond it they are skipped, since searching matters more.
_MOST_WAITING = 16
# After a check none is chosen for so many times as long as it took: at most a twentieth of a core, however busy the
# gates are and however large the gallery.
_RESTS = 19


@dataclass(frozen=True, slots=True)
class CheckCount:
    """Searches checked; of those, how many lacked a candidate; searches chosen but skipped."""

    checked: int = 0
    missed: int = 0
    skipped: int = 0


class RecallCheck:
    """Checks one search in `every` (0: none), in a thread of its own. `consider` belongs to the event loop."""

    def __init__(self, gallery: Gallery, every: int) -> None:
        self._gallery = gallery
        self._every = every
        self._searches = 0
        self._resting_until = 0.0
        self._places = threading.Semaphore(_MOST_WAITING)
        self._lock = threading.Lock()
        self._count = CheckCount()
        self._measuring = Pool(1, Admission("measurements of recall", 1), "recall")
        self._pool = ThreadPoolExecutor(1, "recall-check")

    @property
    def count(self) -> CheckCount:
        """What was found since the start."""
        return self._count

    def consider(self, question: Question, answer: Answer) -> None:
        """Check this answer if its turn has come."""
        if not self._every or question.plan is Plan.EXACT:
            return
        self._searches += 1
        if self._searches % self._every:
            return
        if time.monotonic() < self._resting_until or not self._places.acquire(blocking=False):
            self._add(skipped=1)
            return
        self._pool.submit(self._check, question, answer)

    def _check(self, question: Question, answer: Answer) -> None:
        started = time.monotonic()
        try:
            # As of the same moment: in the one after, somebody's validity may have begun.
            again = replace(question, plan=Plan.EXACT, moment_ns=answer.moment_ns, answer_by=math.inf)
            (exact,) = self._gallery.search([again])
        except Exception:
            log.exception("a search could not be checked")
            return
        finally:
            ended = time.monotonic()
            self._resting_until = max(self._resting_until, ended) + _RESTS * (ended - started)
            self._places.release()
        if not isinstance(exact, Answer) or exact.revision != answer.revision:
            self._add(skipped=1)
            return
        lacking = lacks(answer, exact)
        self._add(checked=1, missed=int(bool(lacking)))
        if lacking:
            log.warning(
                "plan %s missed %d of %d candidates, the best at similarity %.4f, in a gallery of %d at revision %d",
                answer.plan.value,
                len(lacking),
                len(exact.candidates),
                lacking[0].similarity,
                answer.size,
                answer.revision,
            )

    async def measure(self, wanted: RecallQuestion, deadline: Deadline) -> list[Recall]:
        """Measure the recall of plans; one at a time, else Overloaded. Ends early when its caller has gone."""
        gone = threading.Event()

        def before_search() -> None:
            deadline.check()
            if gone.is_set():
                raise ShuttingDown("nobody waits for this measurement any more")

        work = partial(measure_recall, self._gallery, wanted, before_search)
        try:
            return await self._measuring.run(work, deadline)
        finally:
            gone.set()

    def _add(self, *, checked: int = 0, missed: int = 0, skipped: int = 0) -> None:
        with self._lock:
            count = self._count
            self._count = CheckCount(count.checked + checked, count.missed + missed, count.skipped + skipped)

    def stop(self) -> None:
        """End without the checks that wait."""
        self._measuring.stop()
        self._pool.shutdown(cancel_futures=True)


def lacks(answer: Answer, exact: Answer) -> list[Candidate]:
    """Return whom an answer lacks that the exact one to the same question has, at the same revision and moment."""
    answered = {each.subject_id for each in answer.candidates}
    return [each for each in exact.candidates if each.subject_id not in answered]
