"""Changes of subjects: each runs inside one transaction and says what it changed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

from gerbang_service.access.bounds import subject_not_found
from gerbang_service.access.identity import Identity
from gerbang_service.changing import bounds
from gerbang_service.domain.changes import SubjectGone, SubjectPut
from gerbang_service.domain.errors import TemplateNotFound, WatchlistNotFound
from gerbang_service.domain.subjects import Subject, check_validity
from gerbang_service.store.port import Operation, Outcome, Reader, Transaction


def update_subject(caller: Identity, subject_id: str, changed: Mapping[str, Any]) -> Operation[tuple[Subject, int]]:
    """Change fields of a subject (watchlists, valid_from_ns, expire_time_ns, labels); answers it and the revision."""

    def operation(transaction: Transaction) -> Outcome[tuple[Subject, int]]:
        bounds.check_change(caller, transaction, subject_id)
        before = _stored(transaction, subject_id)
        subject = dataclasses.replace(before, **changed, update_time_ns=time.time_ns())
        check_lists(transaction, subject.watchlists)
        check_validity(subject)
        bounds.check_left(caller, subject)
        transaction.put_subject(subject)
        revision = transaction.next_revision()
        erases = before.labels != subject.labels
        return Outcome((subject, revision), SubjectPut(revision, subject, {}), erases=erases)

    return operation


def delete_subject(caller: Identity, subject_id: str) -> Operation[int]:
    """Delete a subject with all its templates; answers the revision."""

    def operation(transaction: Transaction) -> Outcome[int]:
        bounds.check_change(caller, transaction, subject_id)
        if transaction.lists_of(subject_id) is None:
            raise subject_not_found(subject_id)
        transaction.delete_subject(subject_id)
        revision = transaction.next_revision()
        return Outcome(revision, SubjectGone(revision, subject_id), erases=True)

    return operation


def delete_template(caller: Identity, subject_id: str, template_id: int) -> Operation[tuple[Subject, int]]:
    """Delete one template of a subject; answers the subject and the revision."""

    def operation(transaction: Transaction) -> Outcome[tuple[Subject, int]]:
        bounds.check_change(caller, transaction, subject_id)
        subject = _stored(transaction, subject_id)
        if template_id not in {each.template_id for each in subject.templates}:
            raise TemplateNotFound(
                f"subject {subject_id} has no template {template_id}", subject_id=subject_id, template_id=template_id
            )
        left = tuple(each for each in subject.templates if each.template_id != template_id)
        changed = dataclasses.replace(subject, templates=left, update_time_ns=time.time_ns())
        transaction.delete_template(template_id)
        transaction.put_subject(changed)
        revision = transaction.next_revision()
        return Outcome((changed, revision), SubjectPut(revision, changed, {}), erases=True)

    return operation


def check_lists(reader: Reader, names: Sequence[str]) -> None:
    """Raise WatchlistNotFound for the first of these lists that is not there."""
    for name in names:
        if reader.watchlist(name) is None:
            raise WatchlistNotFound(f"no watchlist {name}", watchlist_id=name)


def _stored(reader: Reader, subject_id: str) -> Subject:
    subject = reader.subject(subject_id)
    if subject is None:
        raise subject_not_found(subject_id)
    return subject
