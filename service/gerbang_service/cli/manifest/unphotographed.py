"""Rows without a photo: nobody is enrolled by one, and nobody changed; it is told whether they are there as it says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from gerbang import SubjectNotFound, WatchlistClient
from gerbang.v1.subject_pb2 import Subject
from gerbang_service.cli.enrolments import Enrolment, Outcome, PhotoResult

NO_PHOTO = "NO_PHOTO"
DIFFERS = "SUBJECT_DIFFERS"


def compared(office: WatchlistClient, person: Enrolment) -> PhotoResult:
    """Tell whether a subject is there as a row without a photo says. Raises gerbang.GerbangError.

    Already there: with the same lists, validity and labels, whatever its templates. Else the row is rejected.
    """
    try:
        stored = office.get_subject(person.subject_id)
    except SubjectNotFound:
        detail = f"nobody is enrolled as {person.subject_id}, and a person is enrolled with a photo: name one"
        return PhotoResult(None, person.subject_id, Outcome.REJECTED, reason=NO_PHOTO, detail=detail)
    if differences := list(_differences(stored, person)):
        other = " and ".join(differences)
        detail = f"{person.subject_id} is enrolled with other {other}: 'gerbang subject update' changes that"
        return PhotoResult(None, person.subject_id, Outcome.REJECTED, reason=DIFFERS, detail=detail)
    return PhotoResult(None, person.subject_id, Outcome.ALREADY_THERE)


def _differences(stored: Subject, person: Enrolment) -> Iterator[str]:
    terms = person.terms
    if sorted(stored.watchlists) != sorted(terms.watchlists):
        yield "watchlists"
    if not _same(stored, "valid_from", terms.valid_from):
        yield "valid_from"
    if not _same(stored, "expire_time", terms.expire_time):
        yield "valid_until"
    if dict(stored.labels) != terms.labels:
        yield "labels"


def _same(stored: Subject, field: str, moment: datetime | None) -> bool:
    if moment is None:
        return not stored.HasField(field)  # type: ignore[arg-type]  # one of the two literals
    return stored.HasField(field) and getattr(stored, field).ToDatetime(moment.tzinfo) == moment  # type: ignore[arg-type]
