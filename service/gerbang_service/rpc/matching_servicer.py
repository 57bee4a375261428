"""MatchingService: parse, call, map."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any

from google.rpc import status_pb2
from grpc import aio

from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import matching_service_pb2_grpc, sample_pb2
from gerbang_service.access import calls
from gerbang_service.access.calls import Observer
from gerbang_service.asking.asking import Asking
from gerbang_service.changing.enrolling import Enrolling
from gerbang_service.domain.errors import FieldInvalid, GerbangError
from gerbang_service.domain.faces import FaceChoice
from gerbang_service.domain.questions import Identification, Search1N
from gerbang_service.rpc import mapping
from gerbang_service.rpc.enrolment_stream import EnrolmentStream
from gerbang_service.rpc.errors import to_status
from gerbang_service.rpc.parsing import MAX_BATCH, Parser
from gerbang_service.rpc.streams import Drain, OpenStreams, as_ready
from gerbang_service.threads.admission import Deadline

Context = aio.ServicerContext[Any, Any]

# Items of one stream that are worked on at once.
_WINDOW = 64


class MatchingServicer(matching_service_pb2_grpc.MatchingServiceServicer):
    """The rpcs of gerbang.v1.MatchingService."""

    def __init__(
        self,
        asking: Asking,
        enrolling: Enrolling,
        parser: Parser,
        drain: Drain,
        open_streams: OpenStreams,
        observer: Observer,
    ) -> None:
        """`observer` is told here of the items of streams; of everything else by the guard."""
        self._observer = observer
        self._asking = asking
        self._enrolling = enrolling
        self._parser = parser
        self._drain = drain
        self._open = open_streams

    async def Enroll(self, request: pb.EnrollRequest, context: Context) -> pb.EnrollResponse:
        """Enrol one subject."""
        wanted = self._parser.enrolment(request)
        call, deadline = calls.current(), _deadline(context)
        return mapping.enrolment(await self._enrolling.enroll(wanted, calls.caller(), call, deadline))

    async def EnrollStream(
        self, requests: AsyncIterable[pb.EnrollRequest], context: Context
    ) -> AsyncIterator[pb.EnrollResponse]:
        """Enrol many, one answer an item, in order."""
        stream = EnrolmentStream(self._parser, self._enrolling, self._observer, _deadline(context), self._asking.lane())
        with self._open.admit(context.peer()):
            async with aclosing(stream.answers(aiter(requests), self._drain)) as answers:
                async for response in answers:
                    yield response

    async def Verify(self, request: pb.VerifyRequest, context: Context) -> pb.VerifyResponse:
        """Compare 1:1."""
        asked = self._parser.verification(request, calls.caller())
        return mapping.verification(await self._asking.verify(asked, _deadline(context)))

    async def Identify(self, request: pb.IdentifyRequest, context: Context) -> pb.IdentifyResponse:
        """Search 1:N."""
        outcome = await self._asking.identify(self._parser.search(request, calls.caller()), _deadline(context))
        return mapping.identification(outcome, request.sequence)

    async def IdentifyStream(
        self, requests: AsyncIterable[pb.IdentifyRequest], context: Context
    ) -> AsyncIterator[pb.IdentifyResponse]:
        """Search 1:N for every item, answered as each is ready."""
        work = partial(self._identify_item, deadline=_deadline(context), lane=self._asking.lane())
        with self._open.admit(context.peer()):
            async for response in as_ready(aiter(requests), self._drain, work, window=_WINDOW):
                yield response

    async def _identify_item(
        self,
        request: pb.IdentifyRequest,
        alone: bool,  # noqa: FBT001 - private
        deadline: Deadline,
        lane: asyncio.Semaphore,
    ) -> pb.IdentifyResponse:
        call = calls.begin_item()
        try:
            search = self._parser.search(request, calls.caller())
            outcome = await self._asking.identify(search, deadline, lane, alone=alone)
            response = mapping.identification(outcome, request.sequence)
            await self._observer.answered(call, request, response)
        except Exception as error:  # noqa: BLE001 - the item's own; the stream goes on
            return pb.IdentifyResponse(error=await self._failed(request, error), sequence=request.sequence)
        return response

    async def _failed(self, request: pb.IdentifyRequest, error: Exception) -> status_pb2.Status:
        call = calls.current()
        status = to_status(error, call.request_id)
        await self._observer.failed(call, request, status)
        return status

    async def IdentifyBatch(self, request: pb.IdentifyBatchRequest, context: Context) -> pb.IdentifyBatchResponse:
        """Search 1:N for many probes at once."""
        if not 1 <= len(request.requests) <= MAX_BATCH:
            raise FieldInvalid("requests", f"must be 1 to {MAX_BATCH}", count=len(request.requests))
        parsed = [self._try_parse(each) for each in request.requests]
        searches = [each for each in parsed if isinstance(each, Search1N)]
        answers = iter(await self._asking.identify_many(searches, _deadline(context), self._asking.lane()))
        outcomes = [next(answers) if isinstance(each, Search1N) else each for each in parsed]
        return pb.IdentifyBatchResponse(
            responses=[
                mapping.identification(outcome, each.sequence)
                if isinstance(outcome, Identification)
                else _refused(outcome, each.sequence)
                for outcome, each in zip(outcomes, request.requests, strict=True)
            ]
        )

    def _try_parse(self, request: pb.IdentifyRequest) -> Search1N | Exception:
        try:
            return self._parser.search(request, calls.caller())
        except GerbangError as error:
            return error

    async def Extract(self, request: pb.ExtractRequest, context: Context) -> pb.ExtractResponse:
        """Make a template of an image."""
        image = self._parser.image("", request.image, request.face_choice, FaceChoice.LARGEST)
        extracted = await self._asking.extract(image, _deadline(context))
        return pb.ExtractResponse(
            template=sample_pb2.Template(vector=extracted.vector.astype("<f4").tobytes(), model=self._parser.model),
            face=mapping.face(extracted.face),
        )


def _refused(error: Exception, sequence: int) -> pb.IdentifyResponse:
    return pb.IdentifyResponse(error=to_status(error, calls.current().request_id), sequence=sequence)


def _deadline(context: Context) -> Deadline:
    return Deadline.after(context.time_remaining())
