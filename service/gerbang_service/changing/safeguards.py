"""What makes a change harmless to repeat, and harmless when it is made from a view that is out of date."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

from gerbang_service.domain.errors import FieldInvalid, RevisionConflict, SecondPersonNeeded, SubjectNotFound
from gerbang_service.domain.proposals import Proposal
from gerbang_service.store.port import AnsweredRequest, Reader, Transaction

# The first byte of a digest: how it is made, and that it is not of an enrolment, whose digests begin with others.
_FORM: Final = b"\x02"


@dataclass(frozen=True, slots=True)
class Safeguards:
    """What a caller says besides the change itself.

    `request_id`: in canonical form, empty for none; `expected_revision`: of what is changed, 0 for whatever it is;
    `digest`: of the change that is asked for, see `about`; `note`: why, for a second person.
    """

    request_id: str = ""
    expected_revision: int = 0
    digest: bytes = b""
    note: str = ""

    def about(self, *content: object) -> Safeguards:
        """Return these for a change of this content, which a repeat must have as well: words, numbers, dicts, enums."""
        if not self.request_id:
            return self
        text = json.dumps((*content, self.expected_revision), default=lambda each: each.value, sort_keys=True)
        return replace(self, digest=_FORM + hashlib.sha256(text.encode()).digest())

    def earlier(self, reader: Reader) -> AnsweredRequest | None:
        """Return the answer to the same request, when it was answered before. Raises as `earlier_answer`."""
        return earlier_answer(reader, self.request_id, partial(hmac.compare_digest, self.digest))

    def check(self, current: int, **ids: str) -> None:
        """Raise RevisionConflict when what is to be changed is at another revision than the caller expects."""
        if self.expected_revision not in (0, current):
            raise RevisionConflict(
                f"made from revision {self.expected_revision}, but it was changed since: now it is {current}",
                expected_revision=self.expected_revision,
                revision=current,
                **ids,
            )

    def keep(self, transaction: Transaction, revision: int, subject_id: str = "") -> None:
        """Remember that the change was made, for its repeats. `subject_id`: who, deleted, takes the answer along."""
        if self.request_id:
            answer = AnsweredRequest(self.request_id, self.digest, subject_id, (), revision, time.time_ns())
            transaction.keep_answer(answer)


UNGUARDED: Final = Safeguards()
"""Of a change that is a new one each time, and made whatever was changed since."""


def earlier_answer(reader: Reader, request_id: str, same: Callable[[bytes], bool]) -> AnsweredRequest | None:
    """Return the answer to a request that was answered before, or None for a new one.

    `same` tells whether a digest is of the content that is asked for now. Raises FieldInvalid when the id was used for
    other content, SubjectNotFound when the subject was deleted since, SecondPersonNeeded while it is proposed.
    """
    if not request_id:
        return None
    earlier = reader.answered(request_id)
    if earlier is None:
        _check_proposed(reader.proposal_of(request_id), same)
        return None
    if earlier.erased:
        raise SubjectNotFound(
            f"subject {earlier.subject_id}, whom this request_id was about, was deleted since",
            subject_id=earlier.subject_id,
        )
    if not same(earlier.digest):
        raise FieldInvalid("request_id", "was used before for a different request")
    return earlier


def _check_proposed(proposal: Proposal | None, same: Callable[[bytes], bool]) -> None:
    if proposal is None or proposal.ended_by(time.time_ns()):
        return
    if not same(proposal.digest):
        raise FieldInvalid("request_id", "was used before for a different request")
    raise needed(proposal)


def needed(proposal: Proposal) -> SecondPersonNeeded:
    """Return what is told to who wants a change that is proposed."""
    ends = datetime.fromtimestamp(proposal.expire_time_ns / 1e9, UTC)
    return SecondPersonNeeded(
        f"not done, but proposed as {proposal.proposal_id}: another person has to confirm it",
        watchlists=",".join(proposal.watchlists),
        proposal_id=proposal.proposal_id,
        expire_time=f"{ends:%Y-%m-%dT%H:%M:%SZ}",
    )
