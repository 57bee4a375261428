"""The change that enrols somebody: runs inside one transaction and says what it changed."""

from __future__ import annotations

import dataclasses
import hmac
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TypeAlias

from gerbang_service.access.identity import Identity
from gerbang_service.changing import bounds
from gerbang_service.changing.one_face import OneFace, judge
from gerbang_service.changing.safeguards import Safeguards, earlier_answer
from gerbang_service.changing.subjects import check_lists, joined
from gerbang_service.changing.two_people import Agreement, alone
from gerbang_service.domain.changes import SubjectPut
from gerbang_service.domain.errors import FieldInvalid, SubjectExists
from gerbang_service.domain.subjects import NewTemplate, Subject, TemplateInfo
from gerbang_service.domain.weakening import NOT_WEAKENED, of_subject
from gerbang_service.store.port import AboutSubject, AnsweredRequest, Operation, Outcome, Transaction

MAX_TEMPLATES_PER_SUBJECT = 100
# For the new templates of somebody, whose ids are not known before the change is made: none that there was.
_STAND_IN = (TemplateInfo(0, "", 0, None),)


class OnExisting(Enum):
    """What Enroll does when the subject is already there."""

    REJECT = "reject"
    ADD = "add"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class NewEnrolment:
    """A person to store. `samples`: for each sample, in order, its template, or the reason why it was rejected.

    `request_id`: in canonical form, empty for none; `digest`: of the request's content, for recognising repeats.
    `one_face`: how alike the samples have to be. `expected_revision`: of who is there already, 0 for whoever it is.
    """

    subject: Subject
    samples: Sequence[NewTemplate | str]
    model: str
    on_existing: OnExisting
    request_id: str
    digest: bytes
    one_face: OneFace
    expected_revision: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """Who was stored, as they are now. `samples`: as in AnsweredRequest.

    `similarities`: of each sample, in order, to the subject, as in Likeness; `different`: it has not one face. `added`,
    `removed`: the lists that somebody who was there already was put on, and taken off.
    """

    subject: Subject
    samples: tuple[int | str, ...]
    revision: int
    similarities: tuple[float | None, ...] = ()
    different: bool = False
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


StoredOrBefore: TypeAlias = Stored | AnsweredRequest
"""What became of an enrolment: it was stored, or its request was answered before."""


def store(caller: Identity, new: NewEnrolment, agreement: Agreement = alone) -> Operation[StoredOrBefore]:
    """Enrol a subject or add to one; answers the earlier answer when the request was answered before.

    Raises SamplesDiffer where it would have two faces, and what checks of the subject raise.
    """
    name = new.subject.subject_id or str(uuid.uuid4())

    def operation(transaction: Transaction) -> Outcome[StoredOrBefore]:
        earlier = earlier_answer(transaction, new.request_id, partial(hmac.compare_digest, new.digest))
        if earlier is not None:
            return Outcome(earlier)
        bounds.check_enrolment(caller, transaction, new.subject.subject_id)
        now = time.time_ns()
        existing = transaction.subject(name)
        Safeguards(expected_revision=new.expected_revision).check(existing.revision if existing else 0, subject_id=name)
        subject = _merged(existing, new, name, now, transaction.revision() + 1)
        check_lists(transaction, subject.watchlists)
        bounds.check_left(caller, subject)
        likeness = judge(transaction, existing, new.samples, new.model, new.one_face)
        replaces = existing is not None and new.on_existing is OnExisting.REPLACE
        weakened = NOT_WEAKENED
        if existing is not None:
            weakened = of_subject(existing, _with(subject, _STAND_IN if replaces else existing.templates))
            if (instead := agreement(transaction, weakened, lambda: existing.revision)) is not None:
                return instead
        revision = transaction.next_revision()
        if replaces:
            transaction.delete_templates(subject.subject_id)
        kept = () if existing is None or replaces else existing.templates
        transaction.put_subject(subject)
        templates = [each for each in likeness.samples if isinstance(each, NewTemplate)]
        ids = transaction.add_templates(subject.subject_id, templates, new.model, now)
        put = dict(zip(ids, templates, strict=True))
        infos = (TemplateInfo(each, new.model, now, template.quality, template.chain) for each, template in put.items())
        subject = _with(subject, (*kept, *infos))
        if len(subject.templates) > MAX_TEMPLATES_PER_SUBJECT:
            raise FieldInvalid("samples", f"a subject has at most {MAX_TEMPLATES_PER_SUBJECT} templates")
        left = iter(ids)
        samples = tuple(each if isinstance(each, str) else next(left) for each in likeness.samples)
        before = subject.watchlists if existing is None else existing.watchlists
        added = tuple(each for each in subject.watchlists if each not in before)
        removed = tuple(each for each in before if each not in subject.watchlists)
        stored = Stored(subject, samples, revision, likeness.similarities, likeness.different, added, removed)
        _keep(transaction, new, stored, now)
        vectors = {each: template.vector for each, template in put.items()}
        return Outcome(stored, SubjectPut(stored.revision, subject, vectors), erases=replaces, weakened=weakened)

    return AboutSubject(name, operation)


def _with(subject: Subject, templates: tuple[TemplateInfo, ...]) -> Subject:
    # As dataclasses.replace, which takes five times as long.
    return Subject(
        subject.subject_id,
        subject.watchlists,
        subject.valid_from_ns,
        subject.expire_time_ns,
        subject.labels,
        templates,
        subject.create_time_ns,
        subject.update_time_ns,
        subject.revision,
    )


def _keep(transaction: Transaction, new: NewEnrolment, stored: Stored, now: int) -> None:
    if new.request_id:
        transaction.keep_answer(
            AnsweredRequest(new.request_id, new.digest, stored.subject.subject_id, stored.samples, stored.revision, now)
        )


def _merged(existing: Subject | None, new: NewEnrolment, name: str, now: int, revision: int) -> Subject:
    wanted = new.subject
    if existing is None:
        return Subject(
            name, wanted.watchlists, wanted.valid_from_ns, wanted.expire_time_ns, wanted.labels, (), now, now, revision
        )
    if new.on_existing is OnExisting.REJECT:
        raise SubjectExists(f"subject {wanted.subject_id} is already enrolled", subject_id=wanted.subject_id)
    if new.on_existing is OnExisting.REPLACE:
        return dataclasses.replace(
            wanted, create_time_ns=existing.create_time_ns, update_time_ns=now, revision=revision
        )
    # Absent is one thing and the first moment of 1970, or any other value that counts as false, another.
    differs = {
        "valid_from": wanted.valid_from_ns is not None and wanted.valid_from_ns != existing.valid_from_ns,
        "expire_time": wanted.expire_time_ns is not None and wanted.expire_time_ns != existing.expire_time_ns,
        "labels": len(wanted.labels) > 0 and wanted.labels != existing.labels,
    }
    for field, different in differs.items():
        if different:
            raise FieldInvalid(
                f"subject.{field}", "with on_existing ADD must be empty or as stored; change it with UpdateSubject"
            )
    lists = joined(existing.watchlists, wanted.watchlists, "subject.watchlists")
    return dataclasses.replace(existing, watchlists=lists, update_time_ns=now, revision=revision)
