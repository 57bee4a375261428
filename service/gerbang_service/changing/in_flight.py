"""Enrolments on their way to the gallery: the same face enrolled twice at once is told of too."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gerbang_service.access.identity import Identity
from gerbang_service.changing.storing import Stored, StoredOrBefore
from gerbang_service.domain.decision import Candidate
from gerbang_service.domain.errors import SamplesDiffer
from gerbang_service.domain.thresholds import as_float32

# Rows to make room for at once.
_FEWEST = 64
_NOT_YET = np.iinfo(np.int64).max
# float32 sums of products differ in the last bits with the order of summation; this is more than they can.
_ROUNDING = 1e-5


@dataclass(slots=True, eq=False)
class Submitted:
    """An enrolment that is submitted with others. `vectors`: float32 (templates, dimension), unit length, in order.

    `written`: what became of all of them, of which it is number `place`; None before they are submitted.
    """

    vectors: NDArray[np.float32]
    place: int = 0
    written: Future[list[StoredOrBefore | Exception]] | None = None


class InFlight:
    """Knows the enrolments that are submitted and perhaps not visible yet. Belongs to the event loop.

    A search of the gallery does not find these, and may end before others are submitted.
    """

    def __init__(self) -> None:
        # A row a template, so that one product compares with all of them; float32 (rows, dimension). Free ones are 0.
        self._vectors = np.empty((0, 0), np.float32)
        self._of_row: list[Submitted | None] = []
        # When a row's enrolment was through, on a clock that counts what happens here.
        self._through = np.empty(0, np.int64)
        self._free: list[int] = []
        self._now = 0
        # Open blocks, by when they began; and the rows of enrolments that are through, by when they were.
        self._blocks: dict[int, None] = {}
        self._kept: deque[tuple[int, list[int]]] = deque()

    @contextmanager
    def others(self) -> Iterator[int]:
        """Begin a block, for `near`."""
        self._now += 1
        since = self._now
        self._blocks[since] = None
        try:
            yield since
        finally:
            del self._blocks[since]
            self._erase()

    def near(self, run: Sequence[Submitted], since: int, threshold: float) -> list[list[Submitted]]:
        """Return for each of a run the others that may have one of its faces, in no order.

        Of those before it in the run, and of those that were in flight at any time within a block. `since`: what
        `others` lent; `threshold`: a cosine.
        """
        vectors = _stacked(run)
        least = threshold - _ROUNDING
        found: list[list[Submitted]] = [[] for _ in run]
        of_vector = np.repeat(np.arange(len(run)), [len(each.vectors) for each in run])
        if self._of_row:
            scores = self._vectors @ vectors.T
            if scores.max() >= least:  # else strangers, as most are
                rows, columns = np.nonzero((scores >= least) & (self._through > since)[:, np.newaxis])
                for row, number in zip(rows.tolist(), of_vector[columns].tolist(), strict=True):
                    if (other := self._of_row[row]) is not None:
                        found[number].append(other)
        if len(run) > 1:
            before = of_vector[:, np.newaxis] < of_vector
            ones, others = np.nonzero((vectors @ vectors.T >= least) & before)
            for one, other in zip(of_vector[ones].tolist(), of_vector[others].tolist(), strict=True):
                found[other].append(run[one])
        return [list(dict.fromkeys(each)) for each in found]

    @contextmanager
    def put(self, run: Sequence[Submitted]) -> Iterator[None]:
        """Count enrolments as in flight until the block ends."""
        vectors = _stacked(run)
        rows = self._take_rows(vectors)
        self._vectors[rows], self._through[rows] = vectors, _NOT_YET
        owners = (each for each in run for _ in each.vectors)
        for row, owner in zip(rows, owners, strict=True):
            self._of_row[row] = owner
        try:
            yield
        finally:
            self._now += 1
            self._through[rows] = self._now
            self._kept.append((self._now, rows))
            self._erase()

    def _take_rows(self, vectors: NDArray[np.float32]) -> list[int]:
        if (more := len(vectors) - len(self._free)) > 0:
            before = len(self._of_row)
            more = max(more, before, _FEWEST)
            self._free += range(before, before + more)
            self._of_row += [None] * more
            self._through = np.concatenate([self._through, np.zeros(more, np.int64)])
            larger = np.zeros((before + more, vectors.shape[1]), np.float32)
            larger[:before] = self._vectors if before else 0.0
            self._vectors = larger
        return [self._free.pop() for _ in vectors]

    def _erase(self) -> None:
        """Overwrite what no block that is open may still ask for: the gallery has them, or they came to nothing."""
        oldest = next(iter(self._blocks), self._now + 1)
        while self._kept and self._kept[0][0] < oldest:
            _, rows = self._kept.popleft()
            self._vectors[rows], self._through[rows] = 0.0, 0
            for row in rows:
                self._of_row[row] = None
            self._free += rows


def _stacked(run: Sequence[Submitted]) -> NDArray[np.float32]:
    return run[0].vectors if len(run) == 1 else np.concatenate([each.vectors for each in run])


def same_face(
    others: Sequence[Submitted], vectors: NDArray[np.float32], threshold: float, caller: Identity
) -> Iterator[Candidate]:
    """Yield the templates of other enrolments, of those the caller sees, that are as similar as `threshold`.

    `others`: submitted before the one with `vectors`, which is written: what became of them is known.
    """
    if not others:
        return
    owners = np.repeat(np.arange(len(others)), [len(each.vectors) for each in others])
    theirs = np.concatenate([each.vectors for each in others])
    near = np.flatnonzero((theirs @ vectors.T).max(axis=1) >= threshold - _ROUNDING)
    first = np.cumsum([0, *(len(each.vectors) for each in others)])
    for row in near:
        number = owners[row]
        stored = _outcome(others[number])
        if stored is None or not caller.sees(stored.subject.watchlists):
            continue
        exact = (vectors.astype(np.float64) @ theirs[row].astype(np.float64)).max()
        similarity = as_float32(min(1.0, max(-1.0, float(exact))))
        if similarity >= threshold and (template_id := _template_ids(stored)[row - first[number]]) is not None:
            yield Candidate(stored.subject.subject_id, similarity, threshold, template_id)


def _template_ids(stored: Stored) -> list[int | None]:
    """Return the template of each vector that was submitted; None where it was left out, as of another face."""
    had_one = (each for each in stored.samples if isinstance(each, int) or each == SamplesDiffer.reason)
    return [each if isinstance(each, int) else None for each in had_one]


def _outcome(submitted: Submitted) -> Stored | None:
    """Return who was stored, or None where nobody was."""
    written = submitted.written
    if written is None or not written.done() or written.cancelled() or written.exception() is not None:
        return None
    answer = written.result()[submitted.place]
    return answer if isinstance(answer, Stored) else None
