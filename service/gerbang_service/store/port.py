"""What the service asks of a store: what is durable, behind one interface.

A store keeps watchlists, subjects with their templates, and answers to requests that may be repeated. Each change has
the next revision. Implementations: `store/sqlite` (embedded, the default), `store/memory.py` (the official fake). All
pass `tests/store/contract.py`.

No type of a database is part of it. What fails is told by errors of the domain: StoreUnavailable when the store can't
be read or written just now, DataDamaged when what is stored of one thing can't be read, ever.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeAlias, TypeVar

from gerbang_service.domain.changes import Change
from gerbang_service.domain.faces import CaptureChain
from gerbang_service.domain.subjects import NewTemplate, StoredSubject, Subject
from gerbang_service.domain.watchlists import CountedWatchlist, Watchlist
from gerbang_service.domain.weakening import NOT_WEAKENED, Weakened
from gerbang_service.store.proposals_port import ProposalReader, ProposalWriter

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
    """The answer to an enrolment that carried a request_id: ids only, since the rest is read again when it is repeated.

    `digest`: of the request's content. `samples`: for each sample, in order, the id of its template, or the reason why
    it was rejected. `revision`: of the change. `subject_id` stays, and all else is gone, when the subject was deleted:
    `erased`. `create_time_ns`: ns since the epoch.
    """

    request_id: str
    digest: bytes
    subject_id: str
    samples: tuple[int | str, ...]
    revision: int
    create_time_ns: int
    erased: bool = False


class Reader(ProposalReader, Protocol):
    """Queries of one committed state. Belongs to the thread that asked for it, until its block ends.

    Methods raise DataDamaged for what they would have to tell of. StoreUnavailable is raised at the end of the block at
    the latest: what queries raise before is not to be caught in it.
    """

    def revision(self) -> int:
        """Return the revision of the last change."""

    def watchlist(self, watchlist_id: str) -> Watchlist | None:
        """Return one watchlist, or None."""

    def watchlists(self) -> list[Watchlist]:
        """Return the watchlists, by id."""

    def counted_watchlists(
        self, *, after: str = "", limit: int | None = None, within: Collection[str] | None = None
    ) -> list[CountedWatchlist]:
        """Return up to `limit` watchlists with an id greater than `after`, by id, and how many are on each.

        `limit`: None for all. `within`: only those of these ids, None for all. As many steps as lists are returned.
        """

    def subject_count(self, watchlist_id: str) -> int:
        """Return how many subjects are on a watchlist. Costs no more for a long one."""

    def subject_counts(self) -> dict[str, int]:
        """Return how many subjects are on each watchlist, by id; empty ones too. Costs as many steps as lists."""

    def subject(self, subject_id: str) -> Subject | None:
        """Return one subject with its lists and templates, or None."""

    def lists_of(self, subject_id: str) -> tuple[str, ...] | None:
        """Return the lists that a subject is on, or None when nobody has this id. Reads nothing else of the subject."""

    def subjects(
        self, *, after: str, limit: int, watchlists: Collection[str] | None = None, ended_by_ns: int | None = None
    ) -> list[Subject]:
        """Return up to `limit` subjects with an id greater than `after`, by id.

        `watchlists`: only those on one of these lists, None for all. A long list, or a late page, costs no more.
        `ended_by_ns`: only those whose time is over at that moment, ns since the epoch; None for all. For these it may
        have to look at all that are left.
        """

    def expired(self, before_ns: int, limit: int) -> list[str]:
        """Return the ids of up to `limit` subjects whose expire time is then, ns since 1970, or earlier. Reads all."""

    def seen_time(self) -> int | None:
        """Return the time that was noted last, ns since 1970; before any was, that of a subject's latest change.

        None where there is neither.
        """

    def vector(self, template_id: int) -> bytes:
        """Return the vector of a stored template, little-endian float32 of unit length. Raises DataDamaged."""

    def answered(self, request_id: str) -> AnsweredRequest | None:
        """Return the answer to an earlier request, or None."""


class Transaction(Reader, ProposalWriter, Protocol):
    """A write in progress. What it does is seen by its own queries at once, by others' when all of it is durable."""

    def next_revision(self) -> int:
        """Count one change and return its revision."""

    def put_watchlist(self, watchlist: Watchlist) -> None:
        """Insert a watchlist, or overwrite the one of its id."""

    def delete_watchlist(self, watchlist_id: str) -> None:
        """Delete a watchlist, and the proposals to change it; its subjects leave it."""

    def put_subject(self, subject: Subject) -> None:
        """Insert a subject, or overwrite the one of its id; its templates are left as they are.

        Raises WatchlistNotFound for a list that is not there.
        """

    def add_templates(
        self, subject_id: str, templates: Sequence[NewTemplate], model: str, create_time_ns: int
    ) -> list[int]:
        """Insert templates of a stored subject and return their ids, in order. No id is ever given twice.

        Raises SubjectNotFound.
        """

    def delete_template(self, template_id: int) -> None:
        """Delete one template."""

    def delete_templates(self, subject_id: str) -> None:
        """Delete all templates of a subject."""

    def delete_subject(self, subject_id: str) -> None:
        """Delete a subject with all that is stored of it; answers about it become `erased`."""

    def keep_answer(self, answer: AnsweredRequest) -> None:
        """Remember the answer to a request, for its repeats."""

    def note_seen_time(self, now_ns: int) -> None:
        """Note a time, ns since 1970: see `seen_time`."""

    def forget_answers(self, before_ns: int, most: int) -> int:
        """Forget up to `most` answers that are older, the oldest first, and return how many were forgotten."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What an operation answers, and the change it made. `erases`: stored content was deleted.

    `weakened`: the lists that stop fewer people than before. `failure`: what the caller is told in place of an answer,
    while the change is kept.
    """

    answer: T
    change: Change | None = None
    erases: bool = False
    weakened: Weakened = NOT_WEAKENED
    failure: Exception | None = None


Operation: TypeAlias = Callable[[Transaction], Outcome[T]]
"""What runs in a transaction. What it raises undoes it alone, and is its result; the others of its group go on."""


@dataclass(frozen=True, slots=True)
class AboutSubject(Generic[T]):
    """An Operation that will look for a subject: the store may look for those of a whole group at once."""

    subject_id: str
    operation: Operation[T]

    def __call__(self, transaction: Transaction) -> Outcome[T]:
        """Run the operation."""
        return self.operation(transaction)


class Follower(Protocol):
    """A gallery that is told what others wrote."""

    @property
    def revision(self) -> int:
        """The revision that it holds."""

    @property
    def watchlist_ids(self) -> Collection[str]:
        """Ids of the watchlists that it holds."""

    def template_ids(self, subject_id: str) -> Sequence[int] | None:
        """Return the ids of a subject's templates, or None when it holds no such subject."""

    def apply(self, changes: Sequence[Change], revision: int) -> None:
        """Make changes visible all at once; they lead to `revision`."""


class FellBehind(Exception):
    """The changes since a revision are not known any more: who follows has to start anew."""


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a gallery loads, of one state. The iterators are read once, in this order.

    `templates`: batches of (template_id, subject_key, little-endian float32 bytes); keys are those of `subjects`.
    `template_count`: how many these are, for who makes room; 0 where that is not known. `chains`: filled as `templates`
    are read, with those that the templates of the recogniser came by.
    """

    revision: int
    watchlists: list[Watchlist]
    subjects: Iterator[StoredSubject]
    templates: Iterator[Sequence[tuple[int, int, bytes]]]
    template_count: int = 0
    chains: set[CaptureChain] = field(default_factory=set)


class Store(Protocol):
    """A store in use. `write`, `follow` and `erase` belong to one thread; everything else may be called from any.

    Durable: what `write` returned is there after a power cut. Atomic: a group of operations is there wholly or not.
    """

    @property
    def epoch(self) -> str:
        """A random id of this store's history. Another one than before: revisions began anew, as after a restore."""

    def reading(self) -> AbstractContextManager[Reader]:
        """Lend queries that all see the same state."""

    def template_count(self, model: str) -> int:
        """Return how many templates of a recogniser are stored."""

    def contents(self, model: str) -> AbstractContextManager[Contents]:
        """Lend all that is stored, with the templates of a recogniser."""

    def write(
        self,
        operations: Sequence[Operation[T]],
        *,
        follower: Follower | None = None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> list[Outcome[T] | Exception]:
        """Run operations in order in one transaction, commit it durably, and return what became of each.

        An operation that raises is undone alone. When the store itself fails, none is kept, and each gets a
        StoreUnavailable of its own. `follower` is told, inside the transaction and before the operations, what others
        wrote. `meanwhile` is called now and then while others write; what these two raise passes through.
        """

    def follow(self, follower: Follower) -> None:
        """Tell a follower what others wrote since its revision. Raises FellBehind, StoreUnavailable."""

    def probe(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Write something small, durably, to find out whether the store takes changes. Raises StoreUnavailable.

        `meanwhile`: as of `write`.
        """

    def erase(
        self, meanwhile: Callable[[], object] = lambda: None, hurried: Callable[[], bool] = lambda: False
    ) -> str | None:
        """Erase what was deleted from everything that is stored, or return why it could not be done yet.

        The promise: tried at once, and again each second until it is done. Who was on a deleted watchlist leaves it in
        small steps, between which others may write. Waits for queries that still see it, up to
        a second or until `hurried`.
        """

    def close(self) -> None:
        """End; what was written is kept."""


@dataclass(frozen=True, slots=True)
class StoredToken:
    """An API token as stored. `digest`: SHA-256 of it; times are ns since the epoch; `watchlists`: None for all."""

    token_id: str
    digest: bytes = field(repr=False)
    name: str
    role: str
    watchlists: tuple[str, ...] | None
    create_time_ns: int
    expire_time_ns: int | None = None
    revoke_time_ns: int | None = None


class TokenReader(Protocol):
    """The API tokens of a store, of one committed state. Belongs to a thread, as Reader; raises what it raises."""

    def token_version(self) -> int:
        """Return a number that changes when a token may have changed since this thread last asked. Cheap."""

    def tokens(self) -> list[StoredToken]:
        """Return all tokens, revoked and expired ones too, in the order of their creation."""
