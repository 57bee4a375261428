"""Enrolments on their way to the gallery: the same face enrolled twice at once is told of too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gerbang_service.access.identity import Identity
from gerbang_service.changing.storing import Stored, StoredOrBefore
from gerbang_service.domain.decision import Candidate, as_float32

# float32 sums of products differ in the last bits with the order of summation; this is more than they can.
_ROUNDING = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Submitted:
    """An enrolment that the writer has. `vectors`: float32 (templates, dimension), unit length, in order."""

    vectors: NDArray[np.float32]
    written: Future[StoredOrBefore]


class InFlight:
    """Knows the enrolments that are submitted and perhaps not visible yet. Belongs to the event loop.

    A search of the gallery does not find these, and may end before others are submitted.
    """

    def __init__(self) -> None:
        self._submitted: dict[Submitted, None] = {}
        self._lent: list[list[Submitted]] = []

    @contextmanager
    def others(self) -> Iterator[list[Submitted]]:
        """Lend a list of all that are in flight at any time within the block."""
        seen = list(self._submitted)
        self._lent.append(seen)
        try:
            yield seen
        finally:
            self._lent = [each for each in self._lent if each is not seen]

    @contextmanager
    def put(self, submitted: Submitted) -> Iterator[None]:
        """Count an enrolment as in flight until the block ends."""
        self._submitted[submitted] = None
        for each in self._lent:
            each.append(submitted)
        try:
            yield
        finally:
            del self._submitted[submitted]


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
        ids = [each for each in stored.samples if isinstance(each, int)]
        if similarity >= threshold:
            yield Candidate(stored.subject.subject_id, similarity, threshold, ids[row - first[number]])


def _outcome(submitted: Submitted) -> Stored | None:
    """Return who was stored, or None where nobody was."""
    written = submitted.written
    if not written.done() or written.cancelled() or written.exception() is not None:
        return None
    answer = written.result()
    return answer if isinstance(answer, Stored) else None
