"""Changing lists and subjects: what the watchlist office may do, done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeVar

from gerbang_service.access.identity import Identity
from gerbang_service.changing import subjects, wanted, watchlists
from gerbang_service.changing.safeguards import Safeguards
from gerbang_service.changing.subjects import ChangedSubject, Deleted, SubjectChange
from gerbang_service.changing.submitting import Writing
from gerbang_service.changing.two_people import Proposing
from gerbang_service.changing.watchlists import ChangedWatchlist
from gerbang_service.domain.errors import FieldInvalid
from gerbang_service.domain.proposals import ProposedChange
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.store.port import Operation
from gerbang_service.threads.admission import Deadline

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OfficeChanges:
    """Changes lists and subjects, within what a caller is bound to. Its methods belong to the event loop.

    Each returns what is stored now, if anything is left, and the revision; then the change is durable and visible. Each
    raises RevisionConflict when what it changes is not at the revision that `safeguards` expects, FieldInvalid when
    their request_id was used for something else, and SecondPersonNeeded when it is proposed in the place of being made.
    `proposals_kept_s`: for how long proposals wait, seconds.
    """

    writing: Writing
    proposals_kept_s: float

    async def create_watchlist(
        self, watchlist: Watchlist, safeguards: Safeguards, caller: Identity, deadline: Deadline
    ) -> ChangedWatchlist:
        """Create a watchlist. Raises WatchlistExists, WatchlistDenied."""
        caller.check_watchlists([watchlist.watchlist_id])
        _check_two(caller, two=watchlist.two_person_removal)
        once = safeguards.about("create watchlist", asdict(watchlist))
        return await self._write(watchlists.create_watchlist(watchlist, once), deadline)

    async def update_watchlist(
        self,
        watchlist_id: str,
        changed: Mapping[str, Any],
        safeguards: Safeguards,
        caller: Identity,
        deadline: Deadline,
    ) -> ChangedWatchlist:
        """Change fields of a watchlist. Raises WatchlistNotFound, WatchlistDenied."""
        caller.check_watchlists([watchlist_id])
        _check_two(caller, two=changed.get("two_person_removal", False))
        once = safeguards.about("update watchlist", watchlist_id, changed)
        agreement = self._alone(caller, once, partial(wanted.update_watchlist, watchlist_id, changed))
        return await self._write(watchlists.update_watchlist(watchlist_id, changed, once, agreement), deadline)

    async def delete_watchlist(
        self, watchlist_id: str, safeguards: Safeguards, caller: Identity, deadline: Deadline, *, force: bool
    ) -> Deleted:
        """Delete a watchlist. Raises WatchlistNotFound, WatchlistNotEmpty unless `force`, WatchlistDenied."""
        caller.check_watchlists([watchlist_id])
        once = safeguards.about("delete watchlist", watchlist_id, force)
        agreement = self._alone(caller, once, partial(wanted.delete_watchlist, watchlist_id, force=force))
        operation = watchlists.delete_watchlist(watchlist_id, force=force, safeguards=once, agreement=agreement)
        return await self._write(operation, deadline)

    async def update_subject(
        self,
        subject_id: str,
        change: SubjectChange,
        safeguards: Safeguards,
        caller: Identity,
        deadline: Deadline,
    ) -> ChangedSubject:
        """Change a subject. Raises SubjectNotFound, WatchlistNotFound, WatchlistDenied, FieldInvalid."""
        caller.check_watchlists(change.named_lists)
        once = safeguards.about("update subject", subject_id, change.fields, change.add, change.remove)
        agreement = self._alone(caller, once, partial(wanted.update_subject, subject_id, change))
        return await self._write(subjects.update_subject(caller, subject_id, change, once, agreement), deadline)

    async def delete_subject(
        self, subject_id: str, safeguards: Safeguards, caller: Identity, deadline: Deadline
    ) -> Deleted:
        """Delete a subject with all its templates. Raises SubjectNotFound, WatchlistDenied."""
        once = safeguards.about("delete subject", subject_id)
        agreement = self._alone(caller, once, partial(wanted.delete_subject, subject_id))
        return await self._write(subjects.delete_subject(caller, subject_id, once, agreement), deadline)

    async def delete_template(
        self, subject_id: str, template_id: int, safeguards: Safeguards, caller: Identity, deadline: Deadline
    ) -> ChangedSubject:
        """Delete one template. Raises SubjectNotFound, TemplateNotFound, WatchlistDenied."""
        once = safeguards.about("delete template", subject_id, template_id)
        agreement = self._alone(caller, once, partial(wanted.delete_template, subject_id, template_id))
        return await self._write(subjects.delete_template(caller, subject_id, template_id, once, agreement), deadline)

    def _alone(self, caller: Identity, once: Safeguards, change: Callable[[], ProposedChange]) -> Proposing:
        return Proposing(caller, change, self.proposals_kept_s, once)

    async def _write(self, operation: Operation[T], deadline: Deadline) -> T:
        deadline.check()
        return await self.writing.write(operation)


def _check_two(caller: Identity, *, two: bool) -> None:
    """Raise FieldInvalid where a list shall ask for two people, and nobody can tell one from another."""
    if two and not caller.told_apart:
        raise FieldInvalid(
            "watchlist.two_person_removal",
            "this server does not ask who calls (no TLS), so it can't tell two people apart",
        )
