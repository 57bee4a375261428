"""One EnrollStream: its items go into runs together with others', and are answered in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from gerbang.v1 import matching_service_pb2 as pb
from gerbang_service.access import calls
from gerbang_service.access.calls import Call, Observer
from gerbang_service.changing.enrolling import Enrolling
from gerbang_service.changing.enrolment import Enrolled, Item, Withdrawn
from gerbang_service.rpc import mapping
from gerbang_service.rpc.errors import to_status
from gerbang_service.rpc.parsing import Parser
from gerbang_service.rpc.streams import Drain
from gerbang_service.threads.admission import Deadline

# Items of one stream that were taken and are not answered, at most.
_WINDOW: Final = 64
# Answers made before other calls get a turn: a millisecond.
_AT_ONCE: Final = 16


@dataclass(slots=True, eq=False)
class _Place:
    """An item's place in the order of answers."""

    call: Call
    request: pb.EnrollRequest
    item: Item | None = None
    preparing: asyncio.Task[None] | None = None
    outcome: Enrolled | Exception | None = None
    response: pb.EnrollResponse | None = None


class EnrolmentStream:
    """A stream in progress. Belongs to the event loop; `answers` is called once."""

    def __init__(
        self, parser: Parser, enrolling: Enrolling, observer: Observer, deadline: Deadline, lane: asyncio.Semaphore
    ) -> None:
        """`deadline`: of the stream; `lane`: where its images take turns."""
        self._parser = parser
        self._enrolling = enrolling
        self._observer = observer
        self._deadline = deadline
        self._lane = lane
        self._places: deque[_Place] = deque()
        # Behind an item whose images are still worked on: what follows must not overtake it.
        self._held: deque[_Place] = deque()
        self._settled: list[_Place] = []
        self._free = asyncio.Semaphore(_WINDOW)
        self._changed = asyncio.Event()
        self._ended = False

    async def answers(
        self, requests: AsyncIterator[pb.EnrollRequest], drain: Drain
    ) -> AsyncGenerator[pb.EnrollResponse, None]:
        """Yield an answer for each request, in order.

        An error of `requests`, or ShuttingDown, is raised after the answers to what it gave. When this is closed before
        its end, what is not written yet is not written, and what is is recorded.
        """
        reader = asyncio.create_task(self._read(requests, drain))
        try:
            while self._places or not self._ended:
                if self._places and (response := self._places[0].response) is not None:
                    self._places.popleft()
                    yield response
                    self._free.release()
                    continue
                self._changed.clear()
                await self._changed.wait()
            await reader
        finally:
            reader.cancel()
            for each in self._places:
                if each.item is not None:
                    each.item.withdrawn = True
                if each.preparing is not None:
                    each.preparing.cancel()

    async def _read(self, requests: AsyncIterator[pb.EnrollRequest], drain: Drain) -> None:
        try:
            await drain.read(requests, self._take, self._free)
        finally:
            self._ended = True
            self._changed.set()

    def _take(self, request: pb.EnrollRequest) -> None:
        place = _Place(calls.new_item(), request)
        self._places.append(place)
        try:
            wanted = self._parser.enrolment(request)
            caller = calls.caller()
        except Exception as error:  # noqa: BLE001 - the item's own; the stream goes on
            self._settle(place, error)
            return
        item = place.item = Item(
            wanted, caller, place.call, self._deadline, lambda outcome: self._settle(place, outcome)
        )
        if wanted.has_image:
            place.preparing = asyncio.create_task(self._prepare(item))
            place.preparing.add_done_callback(lambda _: self._hand_over())
            self._held.append(place)
        elif self._held:
            self._held.append(place)
        else:
            self._enrolling.add(item)

    async def _prepare(self, item: Item) -> None:
        calls.enter(item.call)
        try:
            await self._enrolling.prepare(item, self._lane)
        except Exception as error:  # noqa: BLE001 - the item's own; the stream goes on
            item.settle(error)
        except asyncio.CancelledError:
            item.settle(Withdrawn())
            raise

    def _hand_over(self) -> None:
        """Have enrolled what waits for no image any more, in order."""
        while self._held and ((preparing := self._held[0].preparing) is None or preparing.done()):
            item = self._held.popleft().item
            if item is not None and not item.done:
                self._enrolling.add(item)

    # --- answering ----------------------------------------------------------------------------------------------------

    def _settle(self, place: _Place, outcome: Enrolled | Exception) -> None:
        place.outcome = outcome
        self._settled.append(place)
        if len(self._settled) == 1:
            # A task of its own: what was done is recorded, whoever has gone. It begins when all of the run are settled.
            self._enrolling.watch(asyncio.create_task(self._answer()))

    async def _answer(self) -> None:
        settled, self._settled = self._settled, []
        enrolled: list[tuple[_Place, pb.EnrollResponse]] = []
        for number, each in enumerate(settled):
            if isinstance(each.outcome, Enrolled):
                enrolled.append((each, mapping.enrolment(each.outcome)))
            elif not isinstance(each.outcome, Withdrawn):
                await self._fail(each, each.outcome)
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
        await self._record(enrolled)
        self._changed.set()

    async def _record(self, enrolled: Sequence[tuple[_Place, pb.EnrollResponse]]) -> None:
        if not enrolled:
            return
        try:
            await self._observer.answered_all([(each.call, each.request, response) for each, response in enrolled])
        except Exception as error:  # noqa: BLE001 - of each; the stream goes on
            for each, _ in enrolled:
                await self._fail(each, error)
        else:
            for each, response in enrolled:
                each.response = response

    async def _fail(self, place: _Place, error: Exception | None) -> None:
        status = to_status(error or AssertionError("settled without an outcome"), place.call.request_id)
        await self._observer.failed(place.call, place.request, status)
        place.response = pb.EnrollResponse(error=status)
