"""The official fake of a store: all in memory, and gone with the process. Passes the tests that every store passes."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from gerbang_service.domain.errors import StoreUnavailable, SubjectNotFound, WatchlistNotFound
from gerbang_service.domain.subjects import NewTemplate, Subject, TemplateInfo
from gerbang_service.domain.watchlists import CountedWatchlist, Watchlist
from gerbang_service.store.following import Touched, changes_since, touched_by
from gerbang_service.store.memory_proposals import MemoryProposals
from gerbang_service.store.memory_state import State, chains_of, subjects_of, templates_of
from gerbang_service.store.port import AnsweredRequest, Contents, Follower, Operation, Outcome

T = TypeVar("T")
# As many changes are known to who follows.
_RECORDED = 1000


class MemoryReader(MemoryProposals):
    """A port.Reader of one state."""

    def revision(self) -> int:
        """Return the revision of the last change."""
        return self._state.revision

    def watchlist(self, watchlist_id: str) -> Watchlist | None:
        """Return one watchlist, or None."""
        return self._state.watchlists.get(watchlist_id)

    def watchlists(self) -> list[Watchlist]:
        """Return the watchlists, by id."""
        return [each for _, each in sorted(self._state.watchlists.items())]

    def counted_watchlists(
        self, *, after: str = "", limit: int | None = None, within: Collection[str] | None = None
    ) -> list[CountedWatchlist]:
        """Return watchlists by id, and how many are on each: see Reader."""
        counts = self.subject_counts()
        names = [name for name in counts if name > after and (within is None or name in within)]
        return [CountedWatchlist(self._state.watchlists[name], counts[name]) for name in names[:limit]]

    def subject_count(self, watchlist_id: str) -> int:
        """Return how many subjects are on a watchlist."""
        return self.subject_counts().get(watchlist_id, 0)

    def subject_counts(self) -> dict[str, int]:
        """Return how many subjects are on each watchlist, by id; empty ones too."""
        counts = dict.fromkeys(sorted(self._state.watchlists), 0)
        for subject in self._state.subjects.values():
            for each in subject.watchlists:
                counts[each] += 1
        return counts

    def subject(self, subject_id: str) -> Subject | None:
        """Return one subject with its lists and templates, or None."""
        return self._state.subjects.get(subject_id)

    def lists_of(self, subject_id: str) -> tuple[str, ...] | None:
        """Return the lists that a subject is on, or None when nobody has this id."""
        return None if (subject := self.subject(subject_id)) is None else subject.watchlists

    def subjects(
        self, *, after: str, limit: int, watchlists: Collection[str] | None = None, ended_by_ns: int | None = None
    ) -> list[Subject]:
        """Return up to `limit` subjects with an id greater than `after`, by id: see Reader."""
        found = (self._state.subjects[name] for name in sorted(self._state.subjects) if name > after)
        seen = (each for each in found if watchlists is None or not set(watchlists).isdisjoint(each.watchlists))
        ended = (each for each in seen if ended_by_ns is None or each.ended_by(ended_by_ns))
        return [each for _, each in zip(range(limit), ended, strict=False)]

    def expired(self, before_ns: int, limit: int) -> list[str]:
        """Return the ids of up to `limit` subjects whose expire time is then, or earlier."""
        ends = {name: each.expire_time_ns for name, each in self._state.subjects.items()}
        return [name for name, end in ends.items() if end is not None and end <= before_ns][:limit]

    def seen_time(self) -> int | None:
        """Return the time that was noted last; before any was, that of a subject's latest change, or None."""
        latest = max((each.update_time_ns for each in self._state.subjects.values()), default=None)
        return latest if self._state.seen_time_ns is None else self._state.seen_time_ns

    def answered(self, request_id: str) -> AnsweredRequest | None:
        """Return the answer to an earlier request, or None."""
        return self._state.answers.get(request_id)

    def changed_since(self, revision: int) -> list[Touched]:
        """Return what the changes after a revision were about, in order."""
        return [each for number, each in self._state.changes.items() if number > revision]

    def vector(self, template_id: int) -> bytes:
        """Return the vector of a stored template, little-endian float32."""
        return self._state.vectors[template_id]


class MemoryTransaction(MemoryReader):
    """A port.Transaction on a state that nobody else reads yet."""

    def next_revision(self) -> int:
        """Count one change and return its revision."""
        self._state.revision += 1
        return self._state.revision

    def put_watchlist(self, watchlist: Watchlist) -> None:
        """Insert a watchlist, or overwrite the one of its id."""
        self._state.watchlists[watchlist.watchlist_id] = watchlist

    def delete_watchlist(self, watchlist_id: str) -> None:
        """Delete a watchlist; its subjects leave it."""
        self._state.watchlists.pop(watchlist_id, None)
        self._drop_proposals(lambda each: each.change.watchlist_id == watchlist_id)
        for name, each in self._state.subjects.items():
            if watchlist_id in each.watchlists:
                left = tuple(on for on in each.watchlists if on != watchlist_id)
                self._state.subjects[name] = replace(each, watchlists=left)

    def put_subject(self, subject: Subject) -> None:
        """Insert a subject, or overwrite the one of its id; its templates are left as they are."""
        for each in subject.watchlists:
            if each not in self._state.watchlists:
                raise WatchlistNotFound(f"no watchlist {each}", watchlist_id=each)
        name, lists = subject.subject_id, tuple(sorted(set(subject.watchlists)))
        before = self._state.subjects.get(name)
        if before is None:
            self._state.last_key += 1
            self._state.keys[name] = self._state.last_key
        kept = () if before is None else before.templates
        self._state.subjects[name] = replace(subject, watchlists=lists, templates=kept, labels=dict(subject.labels))

    def add_templates(
        self, subject_id: str, templates: Sequence[NewTemplate], model: str, create_time_ns: int
    ) -> list[int]:
        """Insert templates of a stored subject and return their ids, in order."""
        subject = self.subject(subject_id)
        if subject is None:
            raise SubjectNotFound(f"no subject {subject_id}", subject_id=subject_id)
        first = self._state.last_template + 1
        self._state.last_template += len(templates)
        added = {first + at: each for at, each in enumerate(templates)}
        self._state.vectors |= {key: each.vector.astype("<f4").tobytes() for key, each in added.items()}
        infos = (TemplateInfo(key, model, create_time_ns, each.quality, each.chain) for key, each in added.items())
        self._state.subjects[subject_id] = replace(subject, templates=(*subject.templates, *infos))
        return list(added)

    def delete_template(self, template_id: int) -> None:
        """Delete one template."""
        self._without(lambda each: each.template_id == template_id)

    def delete_templates(self, subject_id: str) -> None:
        """Delete all templates of a subject."""
        subject = self.subject(subject_id)
        gone = {each.template_id for each in subject.templates} if subject else set[int]()
        self._without(lambda each: each.template_id in gone)

    def _without(self, gone: Callable[[TemplateInfo], bool]) -> None:
        for name, each in self._state.subjects.items():
            for template in filter(gone, each.templates):
                del self._state.vectors[template.template_id]
            left = tuple(template for template in each.templates if not gone(template))
            self._state.subjects[name] = replace(each, templates=left)

    def delete_subject(self, subject_id: str) -> None:
        """Delete a subject with all that is stored of it; answers about it become `erased`."""
        self.delete_templates(subject_id)
        self._state.subjects.pop(subject_id, None)
        self._state.keys.pop(subject_id, None)
        self._drop_proposals(lambda each: each.change.subject_id == subject_id)
        for name, each in self._state.answers.items():
            if each.subject_id == subject_id:
                self._state.answers[name] = AnsweredRequest(
                    name, b"", subject_id, (), 0, each.create_time_ns, erased=True
                )

    def keep_answer(self, answer: AnsweredRequest) -> None:
        """Remember the answer to a request, for its repeats."""
        self._state.answers[answer.request_id] = answer

    def note_seen_time(self, now_ns: int) -> None:
        """Note a time."""
        self._state.seen_time_ns = now_ns

    def forget_answers(self, before_ns: int, most: int) -> int:
        """Forget up to `most` answers that are older, the oldest first, and return how many were forgotten."""
        old = [each for each in self._state.answers.values() if each.create_time_ns < before_ns]
        gone = sorted(old, key=lambda each: each.create_time_ns)[:most]
        return sum(self._state.answers.pop(each.request_id) is each for each in gone)


class MemoryStore:
    """A port.Store. While `broken` is set, nothing can be written, and its words are why."""

    def __init__(self, model: str = "") -> None:
        """`model`: the recogniser whose templates are told to who follows."""
        self.broken = ""
        self._model = model
        self._epoch = uuid.uuid4().hex
        self._state = State()
        self._writing = threading.Lock()

    @property
    def epoch(self) -> str:
        """A random id of this store's history."""
        return self._epoch

    @contextmanager
    def reading(self) -> Iterator[MemoryReader]:
        """Lend queries that all see the same state."""
        yield MemoryReader(self._state)

    def template_count(self, model: str) -> int:
        """Return how many templates of a recogniser are stored."""
        return sum(each.model == model for subject in self._state.subjects.values() for each in subject.templates)

    @contextmanager
    def contents(self, model: str) -> Iterator[Contents]:
        """Lend all that is stored, with the templates of a recogniser."""
        state = self._state
        yield Contents(
            state.revision,
            MemoryReader(state).watchlists(),
            subjects_of(state),
            templates_of(state, model),
            chains=chains_of(state, model),
        )

    def write(
        self,
        operations: Sequence[Operation[T]],
        *,
        follower: Follower | None = None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> list[Outcome[T] | Exception]:
        """Run operations in order, and return what became of each: see Store."""
        meanwhile()
        with self._writing:
            if self.broken:
                return [StoreUnavailable(self.broken) for _ in operations]
            state = self._state.copy()
            if follower is not None:
                self._bring_up(follower, state)
            results: list[Outcome[T] | Exception] = []
            for operation in operations:
                attempt = state.copy()
                try:
                    outcome = operation(MemoryTransaction(attempt))
                except Exception as error:  # noqa: BLE001 - handed to its caller; the others of the group go on
                    results.append(error)
                    continue
                if outcome.change is not None:
                    attempt.changes[outcome.change.revision] = touched_by(outcome.change)
                    attempt.changes.pop(outcome.change.revision - _RECORDED, None)
                state = attempt
                results.append(outcome)
            self._state = state
            return results

    def follow(self, follower: Follower) -> None:
        """Tell a follower what others wrote since its revision. Raises FellBehind."""
        self._bring_up(follower, self._state)

    def _bring_up(self, follower: Follower, state: State) -> None:
        changes, revision = changes_since(MemoryReader(state), follower, self._model)
        if revision != follower.revision:
            follower.apply(changes, revision)

    def probe(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Find out whether the store takes changes. Raises StoreUnavailable."""
        meanwhile()
        if self.broken:
            raise StoreUnavailable(self.broken)

    def erase(self, meanwhile: object = None, hurried: object = None) -> str | None:  # noqa: ARG002 - as Store
        """Return why what was deleted is still there: never."""
        return None

    def close(self) -> None:
        """Do nothing: there is nothing to end."""
