"""The operations of the watchlist office: each runs inside one transaction and says what it changed."""

from __future__ import annotations

import dataclasses
import hmac
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from gerbang_service.domain.changes import SubjectGone, SubjectPut, WatchlistGone, WatchlistPut
from gerbang_service.domain.errors import (
    FieldInvalid,
    SubjectExists,
    SubjectNotFound,
    TemplateNotFound,
    WatchlistExists,
    WatchlistNotEmpty,
    WatchlistNotFound,
)
from gerbang_service.domain.subjects import NewTemplate, Subject, TemplateInfo
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.store.port import Operation, Outcome, Reader, Transaction

MAX_TEMPLATES_PER_SUBJECT = 100


class OnExisting(Enum):
    """What Enroll does when the subject is already there."""

    REJECT = "reject"
    ADD = "add"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What was enrolled: the subject as stored, the new templates' ids in order of the samples, the revision."""

    subject: Subject
    template_ids: tuple[int, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A person to enrol. `encode` makes the answer that is stored for repeats of `request_id` (empty: none)."""

    subject: Subject
    templates: Sequence[NewTemplate]
    model: str
    on_existing: OnExisting
    request_id: str
    digest: bytes
    encode: Callable[[Enrolled], bytes]


def earlier_answer(reader: Reader, request_id: str, digest: bytes) -> bytes | None:
    """Return the stored answer to a request that was answered before, or None for a new one.

    Raises FieldInvalid when the id was used for other content, SubjectNotFound when the subject was deleted since.
    """
    earlier = reader.request(request_id) if request_id else None
    if earlier is None:
        return None
    known_digest, subject_id, answer = earlier
    if answer is None:
        raise SubjectNotFound(
            f"subject {subject_id}, enrolled by this request_id, was deleted since", subject_id=subject_id
        )
    if not hmac.compare_digest(known_digest, digest):
        raise FieldInvalid("request_id", "was used before for a different request")
    return answer


def enroll(enrolment: Enrolment) -> Operation[Enrolled | bytes]:
    """Enrol a subject or add to one; answers the stored bytes when the request was answered before."""

    def operation(transaction: Transaction) -> Outcome[Enrolled | bytes]:
        earlier = earlier_answer(transaction, enrolment.request_id, enrolment.digest)
        if earlier is not None:
            return Outcome(earlier)
        now = time.time_ns()
        wanted = enrolment.subject
        if not wanted.subject_id:
            wanted = dataclasses.replace(wanted, subject_id=str(uuid.uuid4()))
        existing = transaction.subject(wanted.subject_id)
        subject = _merge(existing, wanted, enrolment.on_existing, now)
        _check_lists(transaction, subject.watchlists)
        replaces = existing is not None and enrolment.on_existing is OnExisting.REPLACE
        if replaces:
            transaction.delete_templates(subject.subject_id)
        transaction.put_subject(subject)
        ids = transaction.add_templates(subject.subject_id, enrolment.templates, enrolment.model, now)
        kept = () if existing is None or replaces else existing.templates
        new = (
            TemplateInfo(each, enrolment.model, now, template.quality)
            for each, template in zip(ids, enrolment.templates, strict=True)
        )
        stored = dataclasses.replace(subject, templates=(*kept, *new))
        if len(stored.templates) > MAX_TEMPLATES_PER_SUBJECT:
            raise FieldInvalid("samples", f"a subject has at most {MAX_TEMPLATES_PER_SUBJECT} templates")
        enrolled = Enrolled(stored, tuple(ids), transaction.next_revision())
        if enrolment.request_id:
            transaction.keep_request(
                enrolment.request_id, enrolment.digest, subject.subject_id, enrolment.encode(enrolled)
            )
        added = {each: template.vector for each, template in zip(ids, enrolment.templates, strict=True)}
        return Outcome(enrolled, SubjectPut(enrolled.revision, stored, added), erases=replaces)

    return operation


def _merge(existing: Subject | None, wanted: Subject, on_existing: OnExisting, now: int) -> Subject:
    if existing is None:
        return dataclasses.replace(wanted, create_time_ns=now, update_time_ns=now)
    if on_existing is OnExisting.REJECT:
        raise SubjectExists(f"subject {wanted.subject_id} is already enrolled", subject_id=wanted.subject_id)
    if on_existing is OnExisting.REPLACE:
        return dataclasses.replace(wanted, create_time_ns=existing.create_time_ns, update_time_ns=now)
    for name in ("watchlists", "valid_from_ns", "expire_time_ns", "labels"):
        value = getattr(wanted, name)
        if value and value != getattr(existing, name):
            raise FieldInvalid(
                f"subject.{name.removesuffix('_ns')}",
                "with on_existing ADD must be empty or as stored; change it with UpdateSubject",
            )
    return dataclasses.replace(existing, update_time_ns=now)


def update_subject(subject_id: str, changed: Mapping[str, Any]) -> Operation[tuple[Subject, int]]:
    """Change fields of a subject (watchlists, valid_from_ns, expire_time_ns, labels); answers it and the revision."""

    def operation(transaction: Transaction) -> Outcome[tuple[Subject, int]]:
        before = _stored(transaction, subject_id)
        subject = dataclasses.replace(before, **changed, update_time_ns=time.time_ns())
        _check_lists(transaction, subject.watchlists)
        check_validity(subject)
        transaction.put_subject(subject)
        revision = transaction.next_revision()
        erases = before.labels != subject.labels
        return Outcome((subject, revision), SubjectPut(revision, subject, {}), erases=erases)

    return operation


def delete_subject(subject_id: str) -> Operation[int]:
    """Delete a subject with all its templates; answers the revision."""

    def operation(transaction: Transaction) -> Outcome[int]:
        _stored(transaction, subject_id)
        transaction.delete_subject(subject_id)
        revision = transaction.next_revision()
        return Outcome(revision, SubjectGone(revision, subject_id), erases=True)

    return operation


def delete_template(subject_id: str, template_id: int) -> Operation[tuple[Subject, int]]:
    """Delete one template of a subject; answers the subject and the revision."""

    def operation(transaction: Transaction) -> Outcome[tuple[Subject, int]]:
        subject = _stored(transaction, subject_id)
        if template_id not in {each.template_id for each in subject.templates}:
            raise TemplateNotFound(
                f"subject {subject_id} has no template {template_id}",
                subject_id=subject_id,
                template_id=template_id,
            )
        transaction.delete_template(template_id)
        transaction.put_subject(dataclasses.replace(subject, update_time_ns=time.time_ns()))
        left = _stored(transaction, subject_id)
        revision = transaction.next_revision()
        return Outcome((left, revision), SubjectPut(revision, left, {}), erases=True)

    return operation


def create_watchlist(watchlist: Watchlist) -> Operation[tuple[Watchlist, int]]:
    """Create a watchlist; answers it and the revision."""

    def operation(transaction: Transaction) -> Outcome[tuple[Watchlist, int]]:
        name = watchlist.watchlist_id
        if transaction.watchlist(name) is not None:
            raise WatchlistExists(f"watchlist {name} is already there", watchlist_id=name)
        now = time.time_ns()
        return _put(transaction, dataclasses.replace(watchlist, create_time_ns=now, update_time_ns=now))

    return operation


def update_watchlist(watchlist_id: str, changed: Mapping[str, Any]) -> Operation[tuple[Watchlist, int]]:
    """Change fields of a watchlist (title, direction, action, threshold, labels); answers it and the revision."""

    def operation(transaction: Transaction) -> Outcome[tuple[Watchlist, int]]:
        stored = _stored_list(transaction, watchlist_id)
        return _put(transaction, dataclasses.replace(stored, **changed, update_time_ns=time.time_ns()))

    return operation


def delete_watchlist(watchlist_id: str, *, force: bool) -> Operation[int]:
    """Delete a watchlist that is empty, or with `force` any; answers the revision."""

    def operation(transaction: Transaction) -> Outcome[int]:
        _stored_list(transaction, watchlist_id)
        count = transaction.subject_count(watchlist_id)
        if count and not force:
            raise WatchlistNotEmpty(
                f"watchlist {watchlist_id} is not empty, subjects: {count}", watchlist_id=watchlist_id, subjects=count
            )
        transaction.delete_watchlist(watchlist_id)
        revision = transaction.next_revision()
        return Outcome(revision, WatchlistGone(revision, watchlist_id), erases=True)

    return operation


def check_validity(subject: Subject) -> None:
    """Raise FieldInvalid unless the validity has a beginning before its end."""
    begin, end = subject.valid_from_ns, subject.expire_time_ns
    if begin is not None and end is not None and begin >= end:
        raise FieldInvalid("subject.expire_time", "must be after subject.valid_from")


def _put(transaction: Transaction, watchlist: Watchlist) -> Outcome[tuple[Watchlist, int]]:
    transaction.put_watchlist(watchlist)
    revision = transaction.next_revision()
    return Outcome((watchlist, revision), WatchlistPut(revision, watchlist))


def _stored(transaction: Transaction, subject_id: str) -> Subject:
    subject = transaction.subject(subject_id)
    if subject is None:
        raise SubjectNotFound(f"no subject {subject_id}", subject_id=subject_id)
    return subject


def _stored_list(transaction: Transaction, watchlist_id: str) -> Watchlist:
    watchlist = transaction.watchlist(watchlist_id)
    if watchlist is None:
        raise WatchlistNotFound(f"no watchlist {watchlist_id}", watchlist_id=watchlist_id)
    return watchlist


def _check_lists(transaction: Transaction, names: Sequence[str]) -> None:
    for name in names:
        _stored_list(transaction, name)
