"""Sending many photos: one stream, files read only as they are sent, an answer for each."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
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
    SubjectNotFound,
    WatchlistClient,
    enroll_request,
    error_of,
)
from gerbang_service.cli.advice import may_succeed_later
from gerbang_service.cli.photos import Person

LOOK_AHEAD: Final = 32
"""Photos sent or being sent without an answer yet: enough to keep a server busy, at most 320 MB in memory."""

STOPS_AFTER: Final = 2 * LOOK_AHEAD
"""Photos in a row that the server could not store, as when its disk is full: the rest is then not sent at all."""

LARGEST_FILE: Final = 60_000_000
"""Bytes. A larger file can't be one message (64 MiB) and would end the stream for all others."""

_NOT_STORED: Final = frozenset({"STORE_UNAVAILABLE", "AUDIT_UNAVAILABLE"})
DELETED_SINCE: Final = "DELETED_SINCE"
"""Reason of a photo that was enrolled before and whose subject was deleted; not one of the server's."""

_Owned: TypeAlias = tuple[str, Path]  # subject_id and photo

# Fixed for ever: the same photo of the same subject has the same request_id in every run and release.
_REQUESTS: Final = uuid.UUID("6f4b1f0e-6a9c-5d7e-9b0b-0d5b8c2f4e11")


@dataclass(frozen=True, slots=True)
class Terms:
    """What all photos of a run are enrolled with; each means what it means to `gerbang.enroll_request`."""

    watchlists: Sequence[str] = ()
    valid_from: datetime | None = None
    expire_time: datetime | None = None
    labels: dict[str, str] = field(default_factory=dict)
    face_choice: str | None = None
    allow_different: bool = False


class Outcome(StrEnum):
    """What became of one photo."""

    ENROLLED = "enrolled"
    ALREADY_THERE = "already_there"
    REJECTED = "rejected"
    NOT_DONE = "not_done"  # the server could not, and may later


@dataclass(frozen=True, slots=True)
class PhotoResult:
    """What became of one photo, and why.

    `duplicates`: other subjects that have this face; `expired`: the subject's end of validity has passed.
    """

    photo: Path
    subject_id: str
    outcome: Outcome
    template_id: str = ""
    reason: str = ""
    detail: str = ""
    duplicates: tuple[Candidate, ...] = ()
    expired: bool = False


class Upload:
    """One run over the photos of `people`; `results` may be consumed once, by one thread.

    The server remembers what was deleted since it was enrolled, and refuses the repeat. With `again`, such photos are
    sent once more with the request_id of their next generation, until one is new or was done already.
    """

    def __init__(
        self,
        office: WatchlistClient,
        people: Sequence[Person],
        terms: Terms,
        *,
        timeout: float | None = None,
        again: bool = False,
    ) -> None:
        self._office = office
        self._photos: Sequence[_Owned] = [(person.subject_id, photo) for person in people for photo in person.photos]
        self._terms = terms
        self._timeout = timeout
        self._again = again
        self._free = threading.Semaphore(LOOK_AHEAD)
        self._over = False
        # Both are filled by gRPC's thread and emptied by the caller's: deque's append and popleft are atomic.
        self._sent: deque[_Owned] = deque()
        self._unsent: deque[PhotoResult] = deque()

    @property
    def unanswered(self) -> int:
        """Photos that were sent and not answered: after a break, nobody knows whether they were kept."""
        return len(self._sent)

    def results(self) -> Iterator[PhotoResult]:
        """Send the photos and yield what became of each, in about their order.

        Ends early when the server can store nothing more. Raises gerbang.GerbangError when the stream breaks. What was
        yielded until then as enrolled is kept by the server.
        """
        photos = self._photos
        not_stored = 0
        try:
            for generation in itertools.count():
                deleted: list[_Owned] = []
                for response in self._office.enroll_stream(self._requests(photos, generation), timeout=self._timeout):
                    self._free.release()
                    owned = self._sent.popleft()
                    if self._again and was_deleted(response):
                        deleted.append(owned)
                    else:
                        result = result_of(owned, response)
                        not_stored = not_stored + 1 if result.reason in _NOT_STORED else 0
                        self._over = self._over or not_stored >= STOPS_AFTER
                        yield result
                    yield from self._drain_unsent()
                yield from self._drain_unsent()
                if not deleted:
                    return
                photos = deleted
        finally:
            self._over = True
            self._free.release()  # lets gRPC's thread see that it is over

    def _drain_unsent(self) -> Iterator[PhotoResult]:
        while self._unsent:
            yield self._unsent.popleft()

    def _requests(self, photos: Sequence[_Owned], generation: int) -> Iterator[EnrollRequest]:
        """Read and yield photo after photo; run by gRPC's thread, LOOK_AHEAD ahead of the answers at most."""
        for subject_id, photo in photos:
            self._free.acquire()
            if self._over:
                return
            content = self._read(subject_id, photo)
            if content is None:
                self._free.release()
                continue
            self._sent.append((subject_id, photo))
            yield request_for(subject_id, content, self._terms, generation)

    def _read(self, subject_id: str, photo: Path) -> bytes | None:
        try:
            if photo.stat().st_size <= LARGEST_FILE:
                return photo.read_bytes()
            reason, detail = "IMAGE_TOO_LARGE", f"larger than {LARGEST_FILE / 1e6:.0f} MB, not sent"
        except OSError as error:
            reason, detail = "FILE_UNREADABLE", error.strerror or str(error)
        self._unsent.append(PhotoResult(photo, subject_id, Outcome.REJECTED, reason=reason, detail=detail))
        return None


def request_for(subject_id: str, content: bytes, terms: Terms, generation: int = 0) -> EnrollRequest:
    """Make the request that adds one photo to a subject, which is created when it is not there."""
    return enroll_request(
        subject_id,
        [content],
        watchlists=sorted(terms.watchlists),
        valid_from=terms.valid_from,
        expire_time=terms.expire_time,
        labels=terms.labels,
        request_id=request_id(subject_id, content, terms, generation),
        on_existing="add",
        face_choice=terms.face_choice,
        allow_different=terms.allow_different,
    )


def request_id(subject_id: str, content: bytes, terms: Terms, generation: int = 0) -> str:
    """Make an id that is the same for the same request, so that the server does the work once.

    `generation`: how often what this request enrolled is known to have been deleted.
    """
    everything = [
        subject_id,
        hashlib.sha256(content).hexdigest(),
        sorted(terms.watchlists),
        _utc(terms.valid_from),
        _utc(terms.expire_time),
        sorted(terms.labels.items()),
        terms.face_choice or "",
        generation,
    ]
    return str(uuid.uuid5(_REQUESTS, json.dumps(everything)))


def was_deleted(response: EnrollResponse) -> bool:
    """Tell whether the server did this before, and the subject was deleted since.

    Adding to a subject that is not there creates it, so nothing else can be not found.
    """
    return isinstance(error_of(response), SubjectNotFound)


def result_of(owned: _Owned, response: EnrollResponse) -> PhotoResult:
    """Tell what an answer says of a photo."""
    subject_id, photo = owned
    error = error_of(response)
    if error is not None:
        outcome = Outcome.NOT_DONE if may_succeed_later(error) else Outcome.REJECTED
        reason = DELETED_SINCE if was_deleted(response) else error.reason or error.code.name
        return PhotoResult(photo, subject_id, outcome, reason=reason, detail=error.message)
    return PhotoResult(
        photo,
        subject_id,
        Outcome.ALREADY_THERE if response.replayed else Outcome.ENROLLED,
        template_id=response.sample_results[0].template_id if response.sample_results else "",
        # A repeat's answer is what was true at the first time.
        duplicates=() if response.replayed else tuple(response.duplicates),
        expired=EnrollWarning.ENROLL_WARNING_EXPIRED in response.warnings,
    )


def _utc(moment: datetime | None) -> str:
    return moment.astimezone(UTC).isoformat() if moment else ""
