"""Enrol: samples in, templates stored, answer out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gerbang_service.access import bounds
from gerbang_service.access.identity import Identity
from gerbang_service.asking.asking import Asking
from gerbang_service.asking.revisions import Revisions
from gerbang_service.changing.in_flight import InFlight, Submitted, same_face
from gerbang_service.changing.safeguards import earlier_answer
from gerbang_service.changing.storing import NewEnrolment, OnExisting, Stored, store
from gerbang_service.changing.submitting import Writing, seen_through
from gerbang_service.domain.decision import Candidate, as_float32
from gerbang_service.domain.errors import FaceRejected, InputError, ModelMismatch, SubjectExists, SubjectNotFound
from gerbang_service.domain.faces import DetectedFace
from gerbang_service.domain.questions import Features
from gerbang_service.domain.samples import ImageSample, Sample
from gerbang_service.domain.subjects import NewTemplate, Subject
from gerbang_service.faces.quality import ENROLMENT
from gerbang_service.store.port import AnsweredRequest, Store
from gerbang_service.threads.admission import Deadline
from gerbang_service.threads.pool import Pool
from gerbang_service.threads.turns import Turn

_DUPLICATES = 5

Rejection: TypeAlias = FaceRejected | InputError | ModelMismatch
"""What makes one sample unusable, as opposed to the whole request."""
REJECTIONS: Final = (FaceRejected, InputError, ModelMismatch)


class Content(Protocol):
    """What a request asks for. Its methods are called in a thread: they may take long."""

    def digest(self) -> bytes:
        """Return a digest of it."""

    def has(self, digest: bytes) -> bool:
        """Tell whether a digest, perhaps one of an older program's, is of the same content."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A person to enrol, as a caller asks for it. `samples`: 1 to 20; one that is none is the error that it is.

    `request_id`: in canonical form, empty for none. `content`: what is asked for, for recognising repeats.
    `expected_revision`: of who is there already, 0 for whoever it is.
    """

    subject: Subject
    samples: Sequence[Sample | Rejection]
    on_existing: OnExisting
    allow_partial: bool
    request_id: str
    content: Content
    expected_revision: int = 0


@dataclass(frozen=True, slots=True)
class EnrolledSample:
    """What became of a sample: a template, or a reason why not. `detail`: that reason in words, for people."""

    template_id: int | None
    rejection: str = ""
    detail: str = ""
    face: DetectedFace | None = None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """Who was enrolled, as the caller is shown them.

    `duplicates`: others with this face, best first. `expired`: Identify does not see them, since their time is over.
    `replayed`: an earlier request was answered so, and nothing was changed. `added_watchlists`: those that somebody who
    was there already was put on.
    """

    subject: Subject
    samples: Sequence[EnrolledSample]
    revision: int
    expired: bool
    duplicates: Sequence[Candidate] = ()
    replayed: bool = False
    added_watchlists: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Enrolling:
    """Enrols subjects. Its method belongs to the event loop.

    `model`: fingerprint of the recogniser; `threshold`: a cosine from which on two faces are the same person's.
    """

    asking: Asking
    revisions: Revisions
    store: Store
    writing: Writing
    queries: Pool
    model: str
    threshold: float
    in_flight: InFlight = field(default_factory=InFlight)

    async def enroll(
        self,
        wanted: Enrolment,
        caller: Identity,
        deadline: Deadline,
        turn: Turn | None = None,
        lane: asyncio.Semaphore | None = None,
    ) -> Enrolled:
        """Enrol one subject; returns when the change is durable and visible.

        `turn`: when it comes the write is submitted, so that a stream keeps its order. `lane`: that of the stream.
        """
        caller.check_watchlists(wanted.subject.watchlists)
        digest = b""
        if wanted.request_id:
            digest, earlier = await self.queries.run(partial(self._earlier, wanted), deadline)
            if earlier is not None:
                return await self._replayed(earlier, caller, deadline)
        samples = await self._features(wanted, deadline, lane or self.asking.lane())
        vectors = [each.vector for each in samples if isinstance(each, Features)]
        new = NewEnrolment(
            wanted.subject,
            [_template(each) if isinstance(each, Features) else each.reason for each in samples],
            self.model,
            wanted.on_existing,
            wanted.request_id,
            digest,
            wanted.expected_revision,
        )
        faces = np.stack(vectors)
        with self.in_flight.others() as since:
            visible = await self.asking.duplicates(vectors, wanted.subject.subject_id, deadline, caller.watchlists)
            if turn is not None:
                await turn.comes()
            deadline.check()
            others = self.in_flight.near(faces, since, self.threshold)
            submitted = Submitted(faces, self.writing.submit(store(caller, new)))
        with self.in_flight.put(submitted):
            if turn is not None:
                turn.end()
            stored = await seen_through(submitted.written)
        if isinstance(stored, AnsweredRequest):
            return await self._replayed(stored, caller, deadline)
        duplicates = self._duplicates(visible, others, submitted.vectors, stored, caller)
        return Enrolled(
            stored.subject,
            _results(samples, stored.samples),
            stored.revision,
            _expired(stored.subject),
            duplicates,
            added_watchlists=stored.added,
        )

    def _earlier(self, wanted: Enrolment) -> tuple[bytes, AnsweredRequest | None]:
        with self.store.reading() as reader:
            earlier = earlier_answer(reader, wanted.request_id, wanted.content.has)
        return (wanted.content.digest(), None) if earlier is None else (b"", earlier)

    async def _replayed(self, earlier: AnsweredRequest, caller: Identity, deadline: Deadline) -> Enrolled:
        """Answer a repeat of what is stored now, when that is visible here: others may have written it."""
        await self.revisions.reached(earlier.revision, deadline)
        subject = await self.queries.run(partial(self._seen, caller, earlier.subject_id), deadline)
        samples = [
            EnrolledSample(None, rejection=each) if isinstance(each, str) else EnrolledSample(each)
            for each in earlier.samples
        ]
        return Enrolled(subject, samples, earlier.revision, _expired(subject), replayed=True)

    def _seen(self, caller: Identity, subject_id: str) -> Subject:
        with self.store.reading() as reader:
            try:
                return bounds.seen(caller, reader, subject_id)
            except SubjectNotFound:
                if reader.lists_of(subject_id) is None:
                    raise
                # The answer may have been given to somebody who sees more.
                raise SubjectExists(f"subject {subject_id} is already enrolled", subject_id=subject_id) from None

    async def _features(
        self, wanted: Enrolment, deadline: Deadline, lane: asyncio.Semaphore
    ) -> list[Features | Rejection]:
        each_one = (self._one(each, deadline, lane) for each in wanted.samples)
        # A task a sample only where one may have to wait: for its image.
        if any(isinstance(each, ImageSample) for each in wanted.samples):
            samples = await asyncio.gather(*each_one)
        else:
            samples = [await each for each in each_one]
        rejections = [each for each in samples if not isinstance(each, Features)]
        if rejections and (not wanted.allow_partial or len(rejections) == len(samples)):
            first = rejections[0]
            first.metadata["sample"] = str(samples.index(first))
            raise first
        return samples

    async def _one(
        self, sample: Sample | Rejection, deadline: Deadline, lane: asyncio.Semaphore
    ) -> Features | Rejection:
        if isinstance(sample, REJECTIONS):
            return sample
        try:
            return await self.asking.features(sample, ENROLMENT, deadline, lane)
        except REJECTIONS as rejection:
            return rejection

    def _duplicates(
        self,
        visible: Iterable[Candidate],
        others: Sequence[Submitted],
        vectors: NDArray[np.float32],
        stored: Stored,
        caller: Identity,
    ) -> list[Candidate]:
        best: dict[str, Candidate] = {}
        for each in (*visible, *same_face(others, vectors, as_float32(self.threshold), caller)):
            known = best.get(each.subject_id)
            if each.subject_id != stored.subject.subject_id and (known is None or each.similarity > known.similarity):
                best[each.subject_id] = each
        return sorted(best.values(), key=lambda each: (-each.similarity, each.subject_id))[:_DUPLICATES]


def _template(features: Features) -> NewTemplate:
    return NewTemplate(features.vector, features.face.quality if features.face else None)


def _results(samples: Sequence[Features | Rejection], stored: Sequence[int | str]) -> list[EnrolledSample]:
    return [
        EnrolledSample(kept, face=each.face)
        if isinstance(each, Features) and isinstance(kept, int)
        else _rejected(each)
        for each, kept in zip(samples, stored, strict=True)
    ]


def _rejected(rejection: Features | Rejection) -> EnrolledSample:
    assert not isinstance(rejection, Features)  # noqa: S101 - each template has an id
    face = rejection.face if isinstance(rejection, FaceRejected) else None
    return EnrolledSample(None, rejection.reason, str(rejection), face)


def _expired(subject: Subject) -> bool:
    return subject.expire_time_ns is not None and subject.expire_time_ns <= time.time_ns()
