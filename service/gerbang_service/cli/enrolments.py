"""What is asked of the server for one person, and what became of it: the words of an upload."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeAlias

from gerbang import (
    Candidate,
    EnrollRequest,
    EnrollResponse,
    EnrollWarning,
    FaceRejected,
    GerbangError,
    ImageRejected,
    SubjectNotFound,
    enroll_request,
    error_of,
)
from gerbang_service.cli.advice import may_succeed_later

DELETED_SINCE: Final = "DELETED_SINCE"
"""Reason of a photo that was enrolled before and whose subject was deleted; not one of the server's."""

# Fixed for ever: the same photos of the same subject have the same request_id in every run and release.
_REQUESTS: Final = uuid.UUID("6f4b1f0e-6a9c-5d7e-9b0b-0d5b8c2f4e11")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a person is enrolled with; each means what it means to `gerbang.enroll_request`.

    `on_existing`: "reject", "add" or "replace", for the subject as a run finds it.
    """

    watchlists: Sequence[str] = ()
    valid_from: datetime | None = None
    expire_time: datetime | None = None
    labels: dict[str, str] = field(default_factory=dict)
    face_choice: str | None = None
    on_existing: str = "reject"
    allow_different: bool = False


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A person to enrol: the photos of one subject, and its terms."""

    subject_id: str
    photos: tuple[Path, ...]
    terms: Terms


class Outcome(StrEnum):
    """What became of one photo."""

    ENROLLED = "enrolled"
    ALREADY_THERE = "already_there"
    REJECTED = "rejected"
    NOT_DONE = "not_done"  # the server could not, and may later


KEPT: Final = (Outcome.ENROLLED, Outcome.ALREADY_THERE)
"""Outcomes after which the server has the photo's template."""


@dataclass(frozen=True, slots=True)
class PhotoResult:
    """What became of one photo, and why. `photo`: None where a person was named without one.

    `duplicates`: other subjects that have this face; `expired`: the subject's end of validity has passed.
    `added`: the lists that it was put on, of somebody who was there already.
    """

    photo: Path | None
    subject_id: str
    outcome: Outcome
    template_id: str = ""
    reason: str = ""
    detail: str = ""
    duplicates: tuple[Candidate, ...] = ()
    expired: bool = False
    added: tuple[str, ...] = ()


Contents: TypeAlias = Sequence[bytes]
"""Whole files, one a photo."""


def request_for(
    subject_id: str, contents: Contents, terms: Terms, on_existing: str, generation: int = 0, after: str = ""
) -> EnrollRequest:
    """Make the request for some photos of a subject, of which those that can't be used are left out."""
    return enroll_request(
        subject_id,
        list(contents),
        watchlists=sorted(terms.watchlists),
        valid_from=terms.valid_from,
        expire_time=terms.expire_time,
        labels=terms.labels,
        request_id=request_id(subject_id, contents, terms, on_existing, generation, after),
        on_existing=on_existing,
        # A photo alone is used or not: then its rejection is the request's, as it always was.
        allow_partial=len(contents) > 1,
        face_choice=terms.face_choice,
        allow_different=terms.allow_different,
    )


def request_id(
    subject_id: str, contents: Contents, terms: Terms, on_existing: str, generation: int = 0, after: str = ""
) -> str:
    """Make an id that is the same for the same request, so that the server does the work once.

    `generation`: how often what this request enrolled is known to have been deleted. `after`: the id of a request that
    erased all that was there before, with what was added then.
    """
    digests = [hashlib.sha256(each).hexdigest() for each in contents]
    everything = [
        subject_id,
        # One photo to be added is named as the releases did that knew nothing else.
        digests[0] if on_existing == "add" and len(digests) == 1 else [on_existing, *digests],
        sorted(terms.watchlists),
        _utc(terms.valid_from),
        _utc(terms.expire_time),
        sorted(terms.labels.items()),
        terms.face_choice or "",
        generation,
        *([after] if after else []),
    ]
    return str(uuid.uuid5(_REQUESTS, json.dumps(everything)))


def was_deleted(error: GerbangError | None) -> bool:
    """Tell whether the server did this before, and the subject was deleted since.

    Enrolling somebody who is not there creates them, so nothing else can be not found.
    """
    return isinstance(error, SubjectNotFound)


def is_of_photo(error: GerbangError) -> bool:
    """Tell whether a photo is what was wrong: another of the same person may be right."""
    return isinstance(error, FaceRejected | ImageRejected)


def results_of(subject_id: str, photos: Sequence[Path], response: EnrollResponse) -> list[PhotoResult]:
    """Tell what an answer says of each of the photos that were asked about."""
    error = error_of(response)
    if error is not None:
        detail = error.message + _named(error.metadata.get("samples", ""), photos)
        return [failed(subject_id, photo, error, detail) for photo in photos]
    expired = EnrollWarning.ENROLL_WARNING_EXPIRED in response.warnings
    # A repeat's answer is what was true at the first time.
    duplicates = () if response.replayed else tuple(response.duplicates)
    added = tuple(response.added_watchlists)
    outcome = Outcome.ALREADY_THERE if response.replayed else Outcome.ENROLLED
    return [
        PhotoResult(photo, subject_id, Outcome.REJECTED, reason=sample.rejection, detail=sample.detail)
        if sample.rejection
        else PhotoResult(photo, subject_id, outcome, sample.template_id, "", "", duplicates, expired, added)
        for photo, sample in zip(photos, response.sample_results, strict=True)
    ]


def failed(subject_id: str, photo: Path, error: GerbangError, detail: str) -> PhotoResult:
    """Tell what a failure means for a photo. `detail`: the error's message, for people."""
    outcome = Outcome.NOT_DONE if may_succeed_later(error) else Outcome.REJECTED
    reason = DELETED_SINCE if was_deleted(error) else error.reason or error.code.name
    return PhotoResult(photo, subject_id, outcome, reason=reason, detail=detail)


def _named(samples: str, photos: Sequence[Path]) -> str:
    """Name the photos that an error tells by number, a group for each face: `0,2;1`. Of anything else nothing."""
    names = {f"{number}": photo.name for number, photo in enumerate(photos)}
    groups = [group.split(",") for group in samples.split(";")]
    if len(photos) == 1 or any(each not in names for group in groups for each in group):
        return ""
    return f" ({'; '.join(', '.join(map(names.__getitem__, group)) for group in groups)})"


def _utc(moment: datetime | None) -> str:
    return moment.astimezone(UTC).isoformat() if moment else ""
