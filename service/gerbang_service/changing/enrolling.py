"""Enrol: samples in, templates stored, answer out. Many at a time, each by itself (see threads/runs.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any

from gerbang_service.access.calls import Call
from gerbang_service.access.identity import Identity
from gerbang_service.asking.asking import Asking
from gerbang_service.asking.duplicates import Sought
from gerbang_service.changing.enrolment import (
    REJECTIONS,
    Enrolled,
    Enrolment,
    Item,
    Rejection,
    Withdrawn,
    settle_all,
    tell,
    tried,
)
from gerbang_service.changing.in_flight import InFlight, Submitted, same_face
from gerbang_service.changing.repeats import Repeats
from gerbang_service.changing.results import best, enrolled, left
from gerbang_service.changing.safeguards import Safeguards
from gerbang_service.changing.storing import Stored, StoredOrBefore, store
from gerbang_service.changing.submitting import Writing, forget, noted, seen_through
from gerbang_service.changing.two_people import Proposing
from gerbang_service.changing.usable import checked, to_store, usable, vectors_of
from gerbang_service.changing.wanted import replace_subject
from gerbang_service.domain.decision import Candidate
from gerbang_service.domain.errors import GerbangError
from gerbang_service.domain.questions import Features
from gerbang_service.domain.samples import ImageSample, UncheckedTemplate
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
        threshold: Callable[[], float],
        verification_threshold: float,
        proposals_kept_s: float,
    ) -> None:
        """`recogniser`: its fingerprint, and the dimension of its templates. `proposals_kept_s`: see Proposing.

        Cosines from which on two faces are one person's: `threshold` tells that among many, which may move;
        `verification_threshold` of two that are said to be.
        """
        self._asking = asking
        self._repeats = repeats
        self._writing = writing
        self._model, self._dimension = recogniser
        self._threshold = threshold
        self._verification_threshold = verification_threshold
        self._proposals_kept_s = proposals_kept_s
        self._in_flight = InFlight()
        self._runs: Runs[Item] = Runs(self._enrol, stuck=lambda: writing.stalled)

    async def enroll(self, wanted: Enrolment, caller: Identity, call: Call, deadline: Deadline) -> Enrolled:
        """Enrol one subject; returns when the change is durable and visible.

        When its caller goes away before it is written, it is not. What is written goes on as if nobody had gone away,
        so that what was done is recorded like everything else; cancelled once more, it is given up.
        """
        answer: asyncio.Future[Enrolled | Exception] = asyncio.get_running_loop().create_future()
        item = Item(wanted, caller, call, deadline, partial(tell, answer))
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
        """Enrol an item after those that were added earlier, or refuse it at once. One with an image was prepared."""
        try:
            self._writing.check_room(self._runs.waiting)
        except GerbangError as error:
            item.settle(error)
        else:
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
            item.usable = usable(item.wanted, samples)

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
        begun = tried(items, _begin)
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
        read = iter(unit_vectors(data, self._dimension))
        for item, samples in zip(items, templates, strict=True):
            taken = [checked(next(read)) if isinstance(each, UncheckedTemplate) else each for each in samples]
            try:
                item.usable = usable(item.wanted, taken)
            except REJECTIONS as rejection:
                item.settle(rejection)

    async def _write(self, items: Sequence[Item], leave: Callable[[], object]) -> None:
        """Look for others with these faces, then have all written together."""
        followed = self._writing.followed
        with self._in_flight.others() as since:
            visible = await self._visible(items)
            going = [each for each in tried(items, _still_wanted) if each in visible]
            if not going:
                return
            run = [Submitted(vectors_of(each), place) for place, each in enumerate(going)]
            others = self._in_flight.near(run, since, self._threshold())
            written = self._writing.submit_all([self._operation(each) for each in going], partial(_begun, going))
            for submitted in run:
                submitted.written = written
        leave()
        self._writing.watch(asyncio.current_task())
        with self._in_flight.put(run):
            outcomes = await seen_through(written)
        visible |= await self._look_again(going, outcomes, everybody=self._writing.followed != followed)
        for item, outcome, near in zip(going, outcomes, others, strict=True):
            try:
                self._conclude(item, outcome, visible[item], near)
            except Exception as error:  # noqa: BLE001 - the item's own
                item.settle(error)

    async def _look_again(
        self, items: Sequence[Item], outcomes: Sequence[StoredOrBefore | Exception], *, everybody: bool
    ) -> dict[Item, Sequence[Candidate]]:
        """Return for those who were stored whom the gallery has with their faces now, where that may be others.

        `everybody`: another process may have enrolled a face meanwhile. And who has one that was left out is nobody's
        duplicate.
        """
        again = [
            (item, outcome.subject.subject_id, left(item, outcome))
            for item, outcome in zip(items, outcomes, strict=True)
            if isinstance(outcome, Stored)
            and (everybody or sum(isinstance(each, int) for each in outcome.samples) < len(vectors_of(item)))
        ]
        if again:
            sought = [
                Sought(list(vectors), subject_id, item.caller.watchlists, item.deadline)
                for item, subject_id, vectors in again
            ]
            with suppress(GerbangError):  # what is stored is stored
                found = await self._asking.duplicates(sought)
                pairs = zip(again, found, strict=True)
                return {item: each for (item, _, _), each in pairs if not isinstance(each, Exception)}
        return {}

    def _conclude(
        self, item: Item, outcome: StoredOrBefore | Exception, visible: Iterable[Candidate], near: Sequence[Submitted]
    ) -> None:
        """Settle an item that was written, or was not; a repeat is left. `visible`, `near`: who may have its face."""
        if isinstance(outcome, AnsweredRequest):
            item.earlier = outcome
        elif isinstance(outcome, Exception):
            forget(item.call, outcome)
            item.settle(outcome)
        else:
            found = same_face(near, left(item, outcome), self._threshold(), item.caller) if near else ()
            duplicates = best((*visible, *found), outcome.subject.subject_id)
            item.settle(enrolled(item, outcome, duplicates, self._verification_threshold))

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
        new = to_store(item, self._model, self._verification_threshold)
        once = Safeguards(new.request_id, digest=new.digest)
        agreement = Proposing(item.caller, partial(replace_subject, new), self._proposals_kept_s, once)
        operation = noted(store(item.caller, new, agreement), item.call)

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
            return checked(unit_vectors([sample.data], self._dimension)[0])
        if isinstance(sample, REJECTIONS):
            return sample
        try:
            return await self._asking.features(sample, ENROLMENT, deadline, lane)
        except REJECTIONS as rejection:
            return rejection


def _begun(items: Sequence[Item]) -> None:
    """Note, in the thread that writes, who is written: from now on nobody is called off."""
    for each in items:
        each.called_off = each.withdrawn


def _begin(item: Item) -> None:
    _still_wanted(item)
    item.caller.check_watchlists(item.wanted.subject.watchlists)


def _still_wanted(item: Item) -> None:
    if item.withdrawn:
        raise Withdrawn
    item.deadline.check()
