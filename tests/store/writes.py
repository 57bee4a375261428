"""Small changes of a store, and a follower that holds what it was told as plain records."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from gerbang_service.domain.changes import Change, SubjectGone, SubjectPut, WatchlistGone, WatchlistPut
from gerbang_service.domain.errors import FieldInvalid
from gerbang_service.domain.faces import CaptureChain
from gerbang_service.domain.subjects import NewTemplate, Subject
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.store.port import AnsweredRequest, Operation, Outcome, Store, Transaction

MODEL = "m"
CHAIN = CaptureChain("d" * 64, 320, "arcface-112")
# More members than leave a deleted list in one step.
MANY = 4500


def vector(seed: int) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal(8)
    return (made / np.linalg.norm(made)).astype(np.float32)


def put_list(name: str) -> Operation[None]:
    def operation(transaction: Transaction) -> Outcome[None]:
        watchlist = Watchlist(name)
        transaction.put_watchlist(watchlist)
        return Outcome(None, WatchlistPut(transaction.next_revision(), watchlist))

    return operation


def drop_list(name: str) -> Operation[None]:
    def operation(transaction: Transaction) -> Outcome[None]:
        transaction.delete_watchlist(name)
        return Outcome(None, WatchlistGone(transaction.next_revision(), name), erases=True)

    return operation


def put(
    name: str, *lists: str, seeds: Sequence[int] = (), model: str = MODEL, ends: int | None = None
) -> Operation[list[int]]:
    """Put a subject on these lists, with a template more for each seed; answers their ids."""

    def operation(transaction: Transaction) -> Outcome[list[int]]:
        transaction.put_subject(
            Subject(name, lists, expire_time_ns=ends, labels={"of": name}, create_time_ns=1, update_time_ns=2)
        )
        # Every other one came as an image.
        new = [NewTemplate(vector(each), None, CHAIN if each % 2 else None) for each in seeds]
        ids = transaction.add_templates(name, new, model, 3)
        subject = transaction.subject(name)
        assert subject is not None
        added = {each: template.vector for each, template in zip(ids, new, strict=True)}
        return Outcome(ids, SubjectPut(transaction.next_revision(), subject, added))

    return operation


def drop(name: str) -> Operation[None]:
    def operation(transaction: Transaction) -> Outcome[None]:
        transaction.delete_subject(name)
        return Outcome(None, SubjectGone(transaction.next_revision(), name), erases=True)

    return operation


def answer(request_id: str, subject_id: str, created: int = 0) -> Operation[None]:
    def operation(transaction: Transaction) -> Outcome[None]:
        kept = AnsweredRequest(request_id, b"digest", subject_id, (1, "NO_FACE"), 7, created)
        transaction.keep_answer(kept)
        return Outcome(None)

    return operation


def forget(before_ns: int, most: int) -> Operation[int]:
    return lambda transaction: Outcome(transaction.forget_answers(before_ns, most))


def fail(transaction: Transaction) -> Outcome[None]:
    transaction.put_watchlist(Watchlist("never"))
    transaction.next_revision()
    raise FieldInvalid("field", "is wrong")


def wrote(store: Store, *operations: Operation[Any]) -> list[Any]:
    """Write in one group, and return the answers."""
    results = store.write(operations)
    for each in results:
        assert isinstance(each, Outcome), each
    return [each.answer for each in results if isinstance(each, Outcome)]


def ids(subjects: Sequence[Subject]) -> list[str]:
    return [each.subject_id for each in subjects]


class Mirror:
    """A follower that holds what it was told, as plain records."""

    def __init__(self, store: Store) -> None:
        with store.contents(MODEL) as contents:
            self.revision = contents.revision
            self.lists = {each.watchlist_id: each for each in contents.watchlists}
            self.subjects = {each.subject_key: each for each in contents.subjects}
            rows = [row for batch in contents.templates for row in batch]
        self.on = {each.subject_id: each.watchlists for each in self.subjects.values()}
        self.templates: dict[str, dict[int, bytes]] = {each.subject_id: {} for each in self.subjects.values()}
        for template_id, key, value in rows:
            self.templates[self.subjects[key].subject_id][template_id] = value

    @property
    def watchlist_ids(self) -> Collection[str]:
        return self.lists

    def template_ids(self, subject_id: str) -> Sequence[int] | None:
        known = self.templates.get(subject_id)
        return None if known is None else list(known)

    def apply(self, changes: Sequence[Change], revision: int) -> None:
        for change in changes:
            match change:
                case WatchlistPut():
                    self.lists[change.watchlist.watchlist_id] = change.watchlist
                case WatchlistGone():
                    del self.lists[change.watchlist_id]
                    self.on = {who: tuple(n for n in on if n != change.watchlist_id) for who, on in self.on.items()}
                case SubjectPut():
                    name, kept = change.subject.subject_id, {each.template_id for each in change.subject.templates}
                    known = self.templates.get(name, {}) | {k: v.tobytes() for k, v in change.added.items()}
                    self.templates[name] = {key: known[key] for key in known if key in kept}
                    self.on[name] = change.subject.watchlists
                case SubjectGone():
                    del self.on[change.subject_id], self.templates[change.subject_id]
        self.revision = revision

    def held(self) -> object:
        return self.revision, set(self.lists), self.on, self.templates
