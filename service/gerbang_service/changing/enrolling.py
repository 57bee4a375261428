"""Enroll: samples in, templates stored, answer out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TypeAlias

from gerbang.v1 import matching_service_pb2 as pb
from gerbang_service.access import calls
from gerbang_service.access.identity import Identity
from gerbang_service.asking.matching import Matching
from gerbang_service.changing import bounds
from gerbang_service.changing.operations import Enrolled, Enrolment, earlier_answer, enroll
from gerbang_service.changing.submitting import Writing, seen_through
from gerbang_service.domain.comparisons import Features
from gerbang_service.domain.errors import FaceRejected, GerbangError, InputError, ModelMismatch, SubjectExists
from gerbang_service.domain.faces import FaceChoice
from gerbang_service.domain.subjects import NewTemplate
from gerbang_service.faces.quality import ENROLMENT
from gerbang_service.rpc import mapping
from gerbang_service.rpc.parsing import Parser, enrolment_subject, on_existing, request_identity
from gerbang_service.rpc.streams import Turn
from gerbang_service.store.port import Store
from gerbang_service.threads.admission import Deadline
from gerbang_service.threads.pool import Pool

# What makes one sample unusable, as opposed to the whole request.
Rejection: TypeAlias = FaceRejected | InputError | ModelMismatch


@dataclass(frozen=True, slots=True)
class Enrolling:
    """Enrols subjects. Its method belongs to the event loop."""

    matching: Matching
    parser: Parser
    store: Store
    writing: Writing
    queries: Pool

    async def enroll(
        self,
        request: pb.EnrollRequest,
        deadline: Deadline,
        turn: Turn | None = None,
        lane: asyncio.Semaphore | None = None,
    ) -> pb.EnrollResponse:
        """Enrol one subject.

        `turn`: when it comes the write is submitted, so that a stream keeps its order. `lane`: that of the stream.
        """
        subject, identity = enrolment_subject(request), calls.caller()
        identity.check_watchlists(subject.watchlists)
        existing = on_existing(request)
        request_id, digest = request_identity(request)
        if request_id:
            stored = await self.queries.run(lambda: self._earlier(request_id, digest), deadline)
            if stored is not None:
                return await self._replayed(stored, identity, deadline)
        samples = await self._features(request, deadline, lane or self.matching.lane())
        usable = [each for each in samples if isinstance(each, Features)]
        vectors = [each.vector for each in usable]
        duplicates = await self.matching.duplicates(vectors, subject.subject_id, deadline, identity.sees)

        def response(enrolled: Enrolled) -> pb.EnrollResponse:
            return pb.EnrollResponse(
                subject=mapping.subject(enrolled.subject),
                sample_results=_results(samples, enrolled.template_ids),
                duplicates=[mapping.candidate(each) for each in duplicates],
                revision=enrolled.revision,
            )

        enrolment = Enrolment(
            subject,
            [NewTemplate(each.vector, each.face.quality if each.face else None) for each in usable],
            self.parser.model,
            existing,
            request_id,
            digest,
            encode=lambda enrolled: response(enrolled).SerializeToString(),
        )
        if turn is not None:
            await turn.comes()
        deadline.check()
        written = self.writing.submit(bounds.enrolling(identity, subject.subject_id, enroll(enrolment)))
        if turn is not None:
            turn.end()
        answer = await seen_through(written)
        if isinstance(answer, bytes):
            return await self._replayed(answer, identity, deadline)
        return response(answer)

    def _earlier(self, request_id: str, digest: bytes) -> bytes | None:
        with self.store.reading() as reader:
            return earlier_answer(reader, request_id, digest)

    async def _replayed(self, stored: bytes, identity: Identity, deadline: Deadline) -> pb.EnrollResponse:
        answer = pb.EnrollResponse.FromString(stored)
        answer.replayed = True
        if identity.watchlists is not None:
            # It may have been given to somebody who sees more.
            await self.queries.run(lambda: self._only_seen(answer, identity), deadline)
        return answer

    def _only_seen(self, answer: pb.EnrollResponse, identity: Identity) -> None:
        with self.store.reading() as reader:
            name = answer.subject.subject_id
            if not bounds.sees(identity, reader, name):
                raise SubjectExists(f"subject {name} is already enrolled", subject_id=name)
            left = [each for each in answer.duplicates if bounds.sees(identity, reader, each.subject_id)]
        del answer.duplicates[:]
        answer.duplicates.extend(left)
        answer.subject.watchlists[:] = bounds.shown_lists(identity, tuple(answer.subject.watchlists))

    async def _features(
        self, request: pb.EnrollRequest, deadline: Deadline, lane: asyncio.Semaphore
    ) -> list[Features | Rejection]:
        samples = await asyncio.gather(
            *(self._one(request, index, deadline, lane) for index in range(len(request.samples)))
        )
        rejections = [each for each in samples if not isinstance(each, Features)]
        if rejections and (not request.allow_partial or len(rejections) == len(samples)):
            first = rejections[0]
            first.metadata["sample"] = str(samples.index(first))
            raise first
        return samples

    async def _one(
        self, request: pb.EnrollRequest, index: int, deadline: Deadline, lane: asyncio.Semaphore
    ) -> Features | Rejection:
        try:
            sample = self.parser.sample(f"samples[{index}]", request.samples[index], FaceChoice.ONLY)
            return await self.matching.features(sample, ENROLMENT, deadline, lane)
        except (FaceRejected, InputError, ModelMismatch) as rejection:
            return rejection


def _results(samples: list[Features | Rejection], template_ids: tuple[int, ...]) -> list[pb.SampleResult]:
    ids = iter(template_ids)
    return [
        pb.SampleResult(template_id=str(next(ids)), face=mapping.face(each.face))
        if isinstance(each, Features)
        else _rejected(each)
        for each in samples
    ]


def _rejected(rejection: GerbangError) -> pb.SampleResult:
    found = rejection.face if isinstance(rejection, FaceRejected) else None
    return pb.SampleResult(rejection=rejection.reason, detail=str(rejection), face=mapping.face(found))
