"""Changes of subjects: each runs inside one transaction and says what it changed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gerbang_service.access.bounds import seen, subject_not_found
from gerbang_service.access.identity import Identity
from gerbang_service.changing import bounds
from gerbang_service.changing.safeguards import UNGUARDED, Safeguards
from gerbang_service.changing.two_people import Agreement, alone
from gerbang_service.domain.changes import SubjectGone, SubjectPut
from gerbang_service.domain.errors import FieldInvalid, TemplateNotFound, WatchlistNotFound
from gerbang_service.domain.identifiers import MAX_WATCHLISTS_PER_SUBJECT
from gerbang_service.domain.subjects import Subject, check_validity
from gerbang_service.domain.weakening import of_subject, removed_from
from gerbang_service.store.port import Operation, Outcome, Reader, Transaction


@dataclass(frozen=True, slots=True)
class SubjectChange:
    """What is changed of a subject. `fields`: watchlists, valid_from_ns, expire_time_ns, labels, those that are named.

    `add`, `remove`: lists to put the subject on, and to take it off; only where `fields` has no watchlists.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()

    @property
    def named_lists(self) -> tuple[str, ...]:
        """All lists that it names."""
        return (*self.fields.get("watchlists", ()), *self.add, *self.remove)


@dataclass(frozen=True, slots=True)
class ChangedSubject:
    """A subject as it is stored now. `added`, `removed`: the lists that it was put on by the change, and taken off.

    `replayed`: an earlier request was answered so with this revision, and nothing was changed.
    """

    subject: Subject
    revision: int
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Deleted:
    """Something that is gone. `replayed`: it was, by an earlier request, and nothing was changed.

    `removed`: the lists that a subject left.
    """

    revision: int
    replayed: bool = False
    removed: tuple[str, ...] = ()


def update_subject(
    caller: Identity,
    subject_id: str,
    change: SubjectChange,
    safeguards: Safeguards = UNGUARDED,
    agreement: Agreement = alone,
) -> Operation[ChangedSubject]:
    """Change fields of a subject, and the lists that it is on; answers what is stored now."""

    def operation(transaction: Transaction) -> Outcome[ChangedSubject]:
        if (earlier := safeguards.earlier(transaction)) is not None:
            return Outcome(ChangedSubject(seen(caller, transaction, subject_id), earlier.revision, replayed=True))
        bounds.check_change(caller, transaction, subject_id)
        before = _stored(transaction, subject_id)
        safeguards.check(before.revision, subject_id=subject_id)
        check_lists(transaction, change.named_lists)
        subject = dataclasses.replace(before, **change.fields, update_time_ns=time.time_ns())
        if change.add or change.remove:
            left = joined(subject.watchlists, change.add, "add_watchlists", change.remove)
            subject = dataclasses.replace(subject, watchlists=left)
        check_validity(subject)
        bounds.check_left(caller, subject)
        weakened = of_subject(before, subject)
        if (instead := agreement(transaction, weakened, lambda: before.revision)) is not None:
            return instead
        revision = transaction.next_revision()
        subject = dataclasses.replace(subject, revision=revision)
        transaction.put_subject(subject)
        safeguards.keep(transaction, revision, subject_id)
        done = ChangedSubject(
            subject,
            revision,
            added=_without(subject.watchlists, before.watchlists),
            removed=_without(before.watchlists, subject.watchlists),
        )
        erases = before.labels != subject.labels
        return Outcome(done, SubjectPut(revision, subject, {}), erases=erases, weakened=weakened)

    return operation


def delete_subject(
    caller: Identity, subject_id: str, safeguards: Safeguards = UNGUARDED, agreement: Agreement = alone
) -> Operation[Deleted]:
    """Delete a subject with all its templates."""

    def operation(transaction: Transaction) -> Outcome[Deleted]:
        if (earlier := safeguards.earlier(transaction)) is not None:
            return Outcome(Deleted(earlier.revision, replayed=True))
        bounds.check_change(caller, transaction, subject_id)
        lists = transaction.lists_of(subject_id)
        if lists is None:
            raise subject_not_found(subject_id)
        if safeguards.expected_revision:
            safeguards.check(_stored(transaction, subject_id).revision, subject_id=subject_id)
        weakened = removed_from(lists)
        # No more is read of somebody than is needed: who can't be read can be deleted.
        instead = agreement(transaction, weakened, lambda: _stored(transaction, subject_id).revision)
        if instead is not None:
            return instead
        transaction.delete_subject(subject_id)
        revision = transaction.next_revision()
        # About nobody: who is enrolled under this id and deleted once more does not take it along.
        safeguards.keep(transaction, revision)
        gone = SubjectGone(revision, subject_id)
        return Outcome(Deleted(revision, removed=lists), gone, erases=True, weakened=weakened)

    return operation


def delete_template(
    caller: Identity,
    subject_id: str,
    template_id: int,
    safeguards: Safeguards = UNGUARDED,
    agreement: Agreement = alone,
) -> Operation[ChangedSubject]:
    """Delete one template of a subject; answers what is stored of the subject now."""

    def operation(transaction: Transaction) -> Outcome[ChangedSubject]:
        if (earlier := safeguards.earlier(transaction)) is not None:
            return Outcome(ChangedSubject(seen(caller, transaction, subject_id), earlier.revision, replayed=True))
        bounds.check_change(caller, transaction, subject_id)
        subject = _stored(transaction, subject_id)
        safeguards.check(subject.revision, subject_id=subject_id)
        if template_id not in {each.template_id for each in subject.templates}:
            raise TemplateNotFound(
                f"subject {subject_id} has no template {template_id}", subject_id=subject_id, template_id=template_id
            )
        left = tuple(each for each in subject.templates if each.template_id != template_id)
        changed = dataclasses.replace(subject, templates=left, update_time_ns=time.time_ns())
        weakened = of_subject(subject, changed)
        if (instead := agreement(transaction, weakened, lambda: subject.revision)) is not None:
            return instead
        revision = transaction.next_revision()
        changed = dataclasses.replace(changed, revision=revision)
        transaction.delete_template(template_id)
        transaction.put_subject(changed)
        safeguards.keep(transaction, revision, subject_id)
        put = SubjectPut(revision, changed, {})
        return Outcome(ChangedSubject(changed, revision), put, erases=True, weakened=weakened)

    return operation


def check_lists(reader: Reader, names: Sequence[str]) -> None:
    """Raise WatchlistNotFound for the first of these lists that is not there."""
    for name in names:
        if reader.watchlist(name) is None:
            raise WatchlistNotFound(f"no watchlist {name}", watchlist_id=name)


def joined(lists: tuple[str, ...], add: Sequence[str], name: str, remove: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the lists of who is put on some and taken off others; raise FieldInvalid of field `name` for too many."""
    left = tuple(sorted({*lists, *add}.difference(remove)))
    if len(left) > MAX_WATCHLISTS_PER_SUBJECT:
        raise FieldInvalid(name, f"a subject is on at most {MAX_WATCHLISTS_PER_SUBJECT} lists", count=len(left))
    return left


def _without(lists: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(lists).difference(others)))


def _stored(reader: Reader, subject_id: str) -> Subject:
    subject = reader.subject(subject_id)
    if subject is None:
        raise subject_not_found(subject_id)
    return subject
