"""What callers are told became of their enrolments."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gerbang_service.asking.duplicates import DUPLICATES
from gerbang_service.changing.enrolment import Enrolled, EnrolledSample, Item, Rejection
from gerbang_service.changing.storing import Stored
from gerbang_service.domain.decision import Candidate, best_of_each
from gerbang_service.domain.errors import FaceRejected
from gerbang_service.domain.questions import Features
from gerbang_service.domain.subjects import Subject


def best(found: Iterable[Candidate], subject_id: str) -> list[Candidate]:
    """Return the most similar others, each once."""
    return best_of_each((each for each in found if each.subject_id != subject_id), DUPLICATES)


def enrolled(item: Item, stored: Stored, duplicates: Sequence[Candidate], threshold: float) -> Enrolled:
    """Return what is told of somebody who was stored. `threshold`: a cosine that one person's faces reach."""
    samples = [
        _sample(each, kept, similarity, threshold)
        for each, kept, similarity in zip(item.usable or (), stored.samples, stored.similarities, strict=True)
    ]
    subject = stored.subject
    return Enrolled(
        subject,
        samples,
        stored.revision,
        _expired(subject),
        duplicates,
        different=stored.different,
        added_watchlists=stored.added,
    )


def _sample(
    sample: Features | Rejection, kept: int | str, similarity: float | None, threshold: float
) -> EnrolledSample:
    if not isinstance(sample, Features):
        face = sample.face if isinstance(sample, FaceRejected) else None
        return EnrolledSample(None, sample.reason, str(sample), face)
    if isinstance(kept, int):
        return EnrolledSample(kept, face=sample.face, similarity=similarity)
    detail = f"another face than the subject's: similarity {similarity or 0.0:.3f}, {threshold:.3f} is needed"
    return EnrolledSample(None, kept, detail, sample.face, similarity)


def left(item: Item, stored: Stored) -> NDArray[np.float32]:
    """Return the vectors that were stored, float32 (templates, dimension): not those of another face."""
    pairs = zip(item.usable or (), stored.samples, strict=True)
    return np.stack([each.vector for each, kept in pairs if isinstance(each, Features) and isinstance(kept, int)])


def replayed(item: Item, subject: Subject, likeness: Mapping[int, float | None], *, different: bool) -> Enrolled:
    """Return what is told of a repeat. `subject`: as it is stored now; `likeness`: of its templates, by id."""
    assert item.earlier is not None  # noqa: S101 - it is a repeat
    samples = [
        EnrolledSample(None, rejection=each)
        if isinstance(each, str)
        else EnrolledSample(each, similarity=likeness.get(each))
        for each in item.earlier.samples
    ]
    return Enrolled(subject, samples, item.earlier.revision, _expired(subject), replayed=True, different=different)


def _expired(subject: Subject) -> bool:
    return subject.ended_by(time.time_ns())
