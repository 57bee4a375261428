"""Enrol: samples in, templates stored, answer out. Many at a time, each by itself (see threads/runs.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gerbang_service.access.calls import Call
from gerbang_service.access.identity import Identity
from gerbang_service.asking.asking import Asking, Sought
from gerbang_service.changing.enrolment import REJECTIONS, Enrolled, Enrolment, Item, Rejection, Withdrawn, settle_all
from gerbang_service.changing.in_flight import InFlight, Submitted, same_face
from gerbang_service.changing.repeats import Repeats
from gerbang_service.changing.results import best, enrolled
from gerbang_service.changing.storing import NewEnrolment, StoredOrBefore, store
from gerbang_service.changing.submitting import Writing, noted, seen_through
from gerbang_service.domain.decision import Candidate, as_float32
from gerbang_service.domain.errors import GerbangError
from gerbang_service.domain.questions import Features
from gerbang_service.domain.samples import ImageSample, UncheckedTemplate
from gerbang_service.domain.subjects import NewTemplate
from gerbang_service.domain.templates import unit_vectors
from gerbang_service.faces.quality import ENROLMENT
from gerbang_service.store.port import AboutSubject, AnsweredRequest, Operation, Outcome, Transaction
from gerbang_service.threads.admission import Deadline
from gerbang_service.threads.runs import Runs


class Enrolling:
    """Enrols subjects. Its methods belong to the event loop."""

    def __init__(
        self,
        asking: Asking,
        repeats: Repeats,
        writing: Writing,
        recogniser: tuple[str, int],
        threshold: float,
    ) -> None:
        """`recogniser`: its fingerprint, and the dimension of its templates.

        `threshold`: a cosine from which on two faces are one person's.
        """
        self._asking = asking
        self._repeats = repeats
        self._writing = writing
        self._model, self._dimension = recogniser
        self._threshold = as_float32(threshold)
        self._in_flight = InFlight()
        self._runs: Runs[Item] = Runs(self._enrol)

    async def enroll(self, wanted: Enrolment, caller: Identity, call: Call, deadline: Deadline) -> Enrolled:
        """Enrol one subject; returns when the change is durable and visible.

        When its caller goes away before it is written, it is not. What is written goes on as if nobody had gone away,
        so that what was done is recorded like everything else; cancelled once more, it is given up.
        """
        answer: asyncio.Future[Enrolled | Exception] = asyncio.get_running_loop().create_future()
        item = Item(wanted, caller, call, deadline, partial(_tell, answer))
        if wanted.has_image:
            await self.prepare(item, self._asking.lane())
        self._writing.watch(asyncio.current_task())
        self.add(item)
        while not answer.done():
            try:
                await asyncio.shield(answer)
            except asyncio.CancelledError:
                if item.withdrawn:
                    raise
                item.withdrawn = True
        outcome = answer.result()
        if isinstance(outcome, Withdrawn):
            raise asyncio.CancelledError
        if item.withdrawn and (task := asyncio.current_task()) is not None:
            task.uncancel()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def watch(self, task: asyncio.Task[Any]) -> None:
        """Have a server that stops wait for a task, which records what was enrolled."""
        self._writing.watch(task)

    def add(self, item: Item) -> None:
        """Enrol an item after those that were added earlier. One with an image was prepared."""
        self._runs.add(item)

    async def prepare(self, item: Item, lane: asyncio.Semaphore) -> None:
        """Make templates of an item's images, after its turns in `lane`; not where it repeats an earlier request.

        Raises what the item fails with.
        """
        item.caller.check_watchlists(item.wanted.subject.watchlists)
        if item.wanted.request_id:
            await self._repeats.look_up_one(item)
        if item.earlier is None:
            samples = await asyncio.gather(*(self._features(each, item.deadline, lane) for each in item.wanted.samples))
            item.usable = _usable(item.wanted, samples)

    # --- a run --------------------------------------------------------------------------------------------------------

    async def _enrol(self, items: Sequence[Item], leave: Callable[[], object]) -> None:
        """Enrol a run. Each item is settled by itself, whatever becomes of the others; `leave`: as of Runs."""
        try:
            new = await self._new(items)
            if new:
                await self._write(new, leave)
            if repeats := [each for each in items if not each.done]:
                # By itself: it may have to wait for what others wrote, and other runs need not.
                self._writing.watch(asyncio.create_task(self._repeats.replay(repeats)))
        except asyncio.CancelledError:
            settle_all(items, Withdrawn())
            raise
        except Exception as error:  # noqa: BLE001 - handed to the callers
            settle_all(items, error)

    async def _new(self, items: Sequence[Item]) -> list[Item]:
        """Settle what can't be enrolled, and return who is to be: not those that repeat an earlier request."""
        begun = _tried(items, _begin)
        await self._repeats.look_up(
            [each for each in begun if each.wanted.request_id and each.usable is None and each.earlier is None]
        )
        new = [each for each in begun if not each.done and each.earlier is None]
        self._take_templates([each for each in new if each.usable is None])
        return [each for each in new if not each.done]

    def _take_templates(self, items: Sequence[Item]) -> None:
        """Note what of their samples is usable, all of which came as templates; settle those of which nothing is."""
        templates = [item.wanted.templates for item in items]
        data = [each.data for each in chain(*templates) if isinstance(each, UncheckedTemplate)]
        checked = iter(unit_vectors(data, self._dimension))
        for item, samples in zip(items, templates, strict=True):
            taken = [_checked(next(checked)) if isinstance(each, UncheckedTemplate) else each for each in samples]
            try:
                item.usable = _usable(item.wanted, taken)
            except REJECTIONS as rejection:
                item.settle(rejection)

    async def _write(self, items: Sequence[Item], leave: Callable[[], object]) -> None:
        """Look for others with these faces, then have all written together."""
        with self._in_flight.others() as since:
            visible = await self._visible(items)
            going = [each for each in _tried(items, _still_wanted) if each in visible]
            if not going:
                return
            run = [Submitted(_vectors(each), place) for place, each in enumerate(going)]
            others = self._in_flight.near(run, since, self._threshold)
            written = self._writing.submit_all([self._operation(each) for each in going], partial(_begun, going))
            for submitted in run:
                submitted.written = written
        leave()
        self._writing.watch(asyncio.current_task())
        with self._in_flight.put(run):
            outcomes = await seen_through(written)
        for item, outcome, submitted, near in zip(going, outcomes, run, others, strict=True):
            try:
                found = same_face(near, submitted.vectors, self._threshold, item.caller)
                _conclude(item, outcome, (*visible[item], *found))
            except Exception as error:  # noqa: BLE001 - the item's own
                item.settle(error)

    async def _visible(self, items: Sequence[Item]) -> dict[Item, Sequence[Candidate]]:
        """Return for each those in the gallery with its faces; settle those for whom that can't be told."""
        sought = [
            Sought(
                [face.vector for face in each.usable or () if isinstance(face, Features)],
                each.wanted.subject.subject_id,
                each.caller.watchlists,
                each.deadline,
            )
            for each in items
        ]
        try:
            found = await self._asking.duplicates(sought)
        except Exception as error:  # noqa: BLE001 - handed to the callers
            if len(items) == 1 or isinstance(error, GerbangError):
                settle_all(items, error)
                return {}
            # Alone, each fails or succeeds by itself.
            alone = [await self._visible([each]) for each in items]
            return {each: candidates for one in alone for each, candidates in one.items()}
        visible: dict[Item, Sequence[Candidate]] = {}
        for each, outcome in zip(items, found, strict=True):
            if isinstance(outcome, Exception):
                each.settle(outcome)
            else:
                visible[each] = outcome
        return visible

    def _operation(self, item: Item) -> Operation[StoredOrBefore]:
        wanted = item.wanted
        samples = [_template(each) if isinstance(each, Features) else each.reason for each in item.usable or ()]
        new = NewEnrolment(wanted.subject, samples, self._model, wanted.on_existing, wanted.request_id, item.digest)
        operation = noted(store(item.caller, new), item.call)

        def run(transaction: Transaction) -> Outcome[StoredOrBefore]:
            if item.called_off:
                raise Withdrawn
            return operation(transaction)

        return AboutSubject(operation.subject_id, run) if isinstance(operation, AboutSubject) else run

    # --- samples ------------------------------------------------------------------------------------------------------

    async def _features(
        self, sample: ImageSample | UncheckedTemplate | Rejection, deadline: Deadline, lane: asyncio.Semaphore
    ) -> Features | Rejection:
        if isinstance(sample, UncheckedTemplate):
            return _checked(unit_vectors([sample.data], self._dimension)[0])
        if isinstance(sample, REJECTIONS):
            return sample
        try:
            return await self._asking.features(sample, ENROLMENT, deadline, lane)
        except REJECTIONS as rejection:
            return rejection


def _conclude(item: Item, outcome: StoredOrBefore | Exception, others: Sequence[Candidate]) -> None:
    """Settle an item that was written, or was not; a repeat is left. `others`: with its face."""
    if isinstance(outcome, AnsweredRequest):
        item.earlier = outcome
    elif isinstance(outcome, Exception):
        item.call.revision = None
        item.settle(outcome)
    else:
        item.settle(enrolled(item, outcome, best(others, outcome.subject.subject_id)))


def _begun(items: Sequence[Item]) -> None:
    """Note, in the thread that writes, who is written: from now on nobody is called off."""
    for each in items:
        each.called_off = each.withdrawn


def _tell(answer: asyncio.Future[Enrolled | Exception], outcome: Enrolled | Exception) -> None:
    if not answer.done():
        answer.set_result(outcome)


def _tried(items: Sequence[Item], step: Callable[[Item], object]) -> list[Item]:
    """Take a step with each item that is not settled, and return those that it left so; the others have its error."""
    for each in items:
        if not each.done:
            try:
                step(each)
            except Exception as error:  # noqa: BLE001 - the item's own
                each.settle(error)
    return [each for each in items if not each.done]


def _begin(item: Item) -> None:
    _still_wanted(item)
    item.caller.check_watchlists(item.wanted.subject.watchlists)


def _still_wanted(item: Item) -> None:
    if item.withdrawn:
        raise Withdrawn
    item.deadline.check()


def _usable(wanted: Enrolment, samples: Sequence[Features | Rejection]) -> Sequence[Features | Rejection]:
    """Return the samples, if enough of them can be used for what is wanted; raise the first rejection otherwise."""
    rejections = [each for each in samples if not isinstance(each, Features)]
    if rejections and (not wanted.allow_partial or len(rejections) == len(samples)):
        first = rejections[0]
        first.metadata["sample"] = str(samples.index(first))
        raise first
    return samples


def _checked(vector: NDArray[np.float32] | Rejection) -> Features | Rejection:
    return vector if isinstance(vector, REJECTIONS) else Features(vector, None)


def _vectors(item: Item) -> NDArray[np.float32]:
    """Return the item's templates; float32 (templates, dimension)."""
    vectors = [each.vector for each in item.usable or () if isinstance(each, Features)]
    return np.stack(vectors) if len(vectors) > 1 else vectors[0][np.newaxis]


def _template(features: Features) -> NewTemplate:
    return NewTemplate(features.vector, features.face.quality if features.face else None)
