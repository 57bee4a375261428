"""An enrolment: what a caller asks for, what becomes of it, and what is known of it on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from gerbang_service.access.calls import Call
from gerbang_service.access.identity import Identity
from gerbang_service.changing.storing import OnExisting
from gerbang_service.domain.decision import Candidate
from gerbang_service.domain.errors import REFUSALS_OF_A_SAMPLE, FaceRejected, InputError, ModelMismatch
from gerbang_service.domain.faces import DetectedFace
from gerbang_service.domain.questions import Features
from gerbang_service.domain.samples import ImageSample, UncheckedTemplate
from gerbang_service.domain.subjects import Subject
from gerbang_service.store.port import AnsweredRequest
from gerbang_service.threads.admission import Deadline

Rejection: TypeAlias = FaceRejected | InputError | ModelMismatch
"""What makes one sample unusable, as opposed to the whole request."""
REJECTIONS: Final = REFUSALS_OF_A_SAMPLE


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
    samples: Sequence[ImageSample | UncheckedTemplate | Rejection]
    on_existing: OnExisting
    allow_partial: bool
    request_id: str
    content: Content
    allow_different: bool = False
    expected_revision: int = 0

    @property
    def has_image(self) -> bool:
        """Whether a sample is an image, of which a template has to be made: that takes as long as a run of others."""
        return any(isinstance(each, ImageSample) for each in self.samples)

    @property
    def templates(self) -> Sequence[UncheckedTemplate | Rejection]:
        """The samples that are no images."""
        return [each for each in self.samples if not isinstance(each, ImageSample)]


@dataclass(frozen=True, slots=True)
class EnrolledSample:
    """What became of a sample: a template, or a reason why not. `detail`: that reason in words, for people.

    `similarity`: to the subject, as in Likeness.
    """

    template_id: int | None
    rejection: str = ""
    detail: str = ""
    face: DetectedFace | None = None
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """Who was enrolled, as the caller is shown them.

    `duplicates`: others with this face, best first. `expired`: Identify does not see them, since their time is over.
    `replayed`: an earlier request was answered so, and nothing was changed. `different`: not one face, and allowed.
    `added_watchlists`: those that somebody who was there already was put on.
    """

    subject: Subject
    samples: Sequence[EnrolledSample]
    revision: int
    expired: bool
    duplicates: Sequence[Candidate] = ()
    replayed: bool = False
    different: bool = False
    added_watchlists: Sequence[str] = ()


class Withdrawn(Exception):
    """What becomes of an enrolment whose caller went away before it was written: it is not."""


@dataclass(slots=True, eq=False)
class Item:
    """An enrolment on its way: a call's, or one of a stream's. Belongs to the event loop.

    `settled` is told once what became of it. `withdrawn`: its caller has gone. `called_off`: so it had when
    it was to be written, and it is not.
    `digest`: of its content, for one with a request_id; `earlier`: the answer to an earlier request with that.
    `usable`: what its samples came to; None while none was looked at.
    """

    wanted: Enrolment
    caller: Identity
    call: Call
    deadline: Deadline
    settled: Callable[[Enrolled | Exception], object]
    withdrawn: bool = False
    called_off: bool = False
    done: bool = False
    digest: bytes = b""
    earlier: AnsweredRequest | None = None
    usable: Sequence[Features | Rejection] | None = None

    def settle(self, outcome: Enrolled | Exception) -> None:
        """Tell what became of it; only the first time counts."""
        if not self.done:
            self.done = True
            self.settled(outcome)


def settle_all(items: Iterable[Item], outcome: Exception) -> None:
    """Settle those that are not yet with the same error."""
    for each in items:
        each.settle(outcome)


def tried(items: Sequence[Item], step: Callable[[Item], object]) -> list[Item]:
    """Take a step with each item that is not settled, and return those that it left so; the others have its error."""
    for each in items:
        if not each.done:
            try:
                step(each)
            except Exception as error:  # noqa: BLE001 - the item's own
                each.settle(error)
    return [each for each in items if not each.done]


def tell(answer: asyncio.Future[Enrolled | Exception], outcome: Enrolled | Exception) -> None:
    """Tell who waits for an item what became of it, if anybody still does."""
    if not answer.done():
        answer.set_result(outcome)
