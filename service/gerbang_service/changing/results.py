"""What callers are told became of their enrolments."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final

from gerbang_service.changing.enrolment import Enrolled, EnrolledSample, Item, Rejection
from gerbang_service.changing.storing import Stored
from gerbang_service.domain.decision import Candidate, ranked
from gerbang_service.domain.errors import FaceRejected
from gerbang_service.domain.questions import Features
from gerbang_service.domain.subjects import Subject

DUPLICATES: Final = 5
"""Others that are named, at most."""


def best(found: Iterable[Candidate], subject_id: str) -> list[Candidate]:
    """Return the most similar others, each once."""
    most: dict[str, Candidate] = {}
    for each in found:
        known = most.get(each.subject_id)
        if each.subject_id != subject_id and (known is None or each.similarity > known.similarity):
            most[each.subject_id] = each
    return ranked(most.values(), DUPLICATES)


def enrolled(item: Item, stored: Stored, duplicates: Sequence[Candidate]) -> Enrolled:
    """Return what is told of somebody who was stored."""
    samples = [
        EnrolledSample(kept, face=each.face)
        if isinstance(each, Features) and isinstance(kept, int)
        else _rejected(each)
        for each, kept in zip(item.usable or (), stored.samples, strict=True)
    ]
    return Enrolled(stored.subject, samples, stored.revision, _expired(stored.subject), duplicates)


def _rejected(rejection: Features | Rejection) -> EnrolledSample:
    assert not isinstance(rejection, Features)  # noqa: S101 - each template has an id
    face = rejection.face if isinstance(rejection, FaceRejected) else None
    return EnrolledSample(None, rejection.reason, str(rejection), face)


def replayed(item: Item, subject: Subject) -> Enrolled:
    """Return what is told of a repeat. `subject`: as it is stored now."""
    assert item.earlier is not None  # noqa: S101 - it is a repeat
    samples = [
        EnrolledSample(None, rejection=each) if isinstance(each, str) else EnrolledSample(each)
        for each in item.earlier.samples
    ]
    return Enrolled(subject, samples, item.earlier.revision, _expired(subject), replayed=True)


def _expired(subject: Subject) -> bool:
    return subject.expire_time_ns is not None and subject.expire_time_ns <= time.time_ns()
