"""Enrolments that carry the request_id of an earlier one: found, and answered as that was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TypeAlias

from gerbang_service.access import bounds
from gerbang_service.asking.revisions import Revisions
from gerbang_service.changing.enrolment import Enrolled, Enrolment, Item, settle_all
from gerbang_service.changing.one_face import judge_again
from gerbang_service.changing.results import replayed
from gerbang_service.changing.safeguards import earlier_answer
from gerbang_service.domain.errors import GerbangError, SubjectExists, SubjectNotFound
from gerbang_service.store.port import AnsweredRequest, Reader, Store
from gerbang_service.threads.admission import Deadline
from gerbang_service.threads.pool import Pool

_Found: TypeAlias = "tuple[bytes, AnsweredRequest | None] | GerbangError"


class Repeats:
    """Knows earlier requests. Its methods belong to the event loop."""

    def __init__(self, store: Store, queries: Pool, revisions: Revisions, threshold: float) -> None:
        """`threshold`: a cosine that one person's faces reach."""
        self._store = store
        self._queries = queries
        self._revisions = revisions
        self._threshold = threshold

    async def look_up_one(self, item: Item) -> None:
        """Find out whether an item repeats an earlier request. Raises what the item fails with."""
        (found,) = await self._queries.run(partial(self._earlier, [item.wanted]), item.deadline)
        if isinstance(found, GerbangError):
            raise found
        item.digest, item.earlier = found

    async def look_up(self, items: Sequence[Item]) -> None:
        """Find out which items repeat an earlier request, in one query; settle those for whom that can't be told."""
        if not items:
            return
        try:
            outcomes = await self._queries.run(partial(self._earlier, [each.wanted for each in items]), latest(items))
        except Exception as error:  # noqa: BLE001 - theirs: others need no query
            settle_all(items, error)
            return
        for each, found in zip(items, outcomes, strict=True):
            if isinstance(found, GerbangError):
                each.settle(found)
            else:
                each.digest, each.earlier = found

    def _earlier(self, wanted: Sequence[Enrolment]) -> list[_Found]:
        """Return for each the answer to an earlier request, or the digest of its content; or why it fails."""
        outcomes: list[AnsweredRequest | GerbangError | None] = []
        with self._store.reading() as reader:
            for each in wanted:
                try:
                    outcomes.append(earlier_answer(reader, each.request_id, each.content.has))
                except GerbangError as error:
                    outcomes.append(error)
        return [_found(each, outcome) for each, outcome in zip(wanted, outcomes, strict=True)]

    async def replay(self, items: Sequence[Item]) -> None:
        """Settle repeats by what is stored now, once that is visible here: others may have written it."""
        if not items:
            return
        deadline = latest(items)
        try:
            await self._revisions.reached(max(each.earlier.revision for each in items if each.earlier), deadline)
            outcomes = await self._queries.run(partial(self._seen, items), deadline)
        except Exception as error:  # noqa: BLE001 - handed to the callers
            settle_all(items, error)
            return
        for each, outcome in zip(items, outcomes, strict=True):
            each.settle(outcome)

    def _seen(self, items: Sequence[Item]) -> list[Enrolled | GerbangError]:
        outcomes: list[Enrolled | GerbangError] = []
        with self._store.reading() as reader:
            for each in items:
                try:
                    outcomes.append(_answer(each, reader, self._threshold))
                except GerbangError as error:
                    outcomes.append(error)
        return outcomes


def _found(wanted: Enrolment, outcome: AnsweredRequest | GerbangError | None) -> _Found:
    if isinstance(outcome, GerbangError):
        return outcome
    return (wanted.content.digest(), None) if outcome is None else (b"", outcome)


def _answer(item: Item, reader: Reader, threshold: float) -> Enrolled:
    """Return what is told of who was enrolled by an earlier request, as the caller may see them.

    Raises SubjectExists for somebody whom the caller does not see, SubjectNotFound.
    """
    assert item.earlier is not None  # noqa: S101 - it is a repeat
    subject_id = item.earlier.subject_id
    try:
        subject = bounds.seen(item.caller, reader, subject_id)
    except SubjectNotFound:
        if reader.lists_of(subject_id) is None:
            raise
        # The answer may have been given to somebody who sees more.
        raise SubjectExists(f"subject {subject_id} is already enrolled", subject_id=subject_id) from None
    likeness, different = judge_again(reader, subject, item.earlier.samples, threshold)
    return replayed(item, subject, likeness, different=different)


def latest(items: Iterable[Item]) -> Deadline:
    """Return the latest deadline: what is done for all is done while somebody waits for it."""
    return max((each.deadline for each in items), key=lambda each: each.at)
