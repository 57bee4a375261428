"""Changing lists and subjects: what the watchlist office may do, done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from gerbang_service.access.identity import Identity
from gerbang_service.changing import subjects, watchlists
from gerbang_service.changing.safeguards import Safeguards
from gerbang_service.changing.subjects import ChangedSubject, Deleted, SubjectChange
from gerbang_service.changing.submitting import Writing
from gerbang_service.changing.watchlists import ChangedWatchlist
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.store.port import Operation
from gerbang_service.threads.admission import Deadline

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OfficeChanges:
    """Changes lists and subjects, within what a caller is bound to. Its methods belong to the event loop.

    Each returns what is stored now, if anything is left, and the revision; then the change is durable and visible. Each
    raises RevisionConflict when what it changes is not at the revision that `safeguards` expects, and FieldInvalid when
    their request_id was used for something else.
    """

    writing: Writing

    async def create_watchlist(
        self, watchlist: Watchlist, safeguards: Safeguards, caller: Identity, deadline: Deadline
    ) -> ChangedWatchlist:
        """Create a watchlist. Raises WatchlistExists, WatchlistDenied."""
        caller.check_watchlists([watchlist.watchlist_id])
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
        once = safeguards.about("update watchlist", watchlist_id, changed)
        return await self._write(watchlists.update_watchlist(watchlist_id, changed, once), deadline)

    async def delete_watchlist(
        self, watchlist_id: str, safeguards: Safeguards, caller: Identity, deadline: Deadline, *, force: bool
    ) -> Deleted:
        """Delete a watchlist. Raises WatchlistNotFound, WatchlistNotEmpty unless `force`, WatchlistDenied."""
        caller.check_watchlists([watchlist_id])
        once = safeguards.about("delete watchlist", watchlist_id, force)
        return await self._write(watchlists.delete_watchlist(watchlist_id, force=force, safeguards=once), deadline)

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
        return await self._write(subjects.update_subject(caller, subject_id, change, once), deadline)

    async def delete_subject(
        self, subject_id: str, safeguards: Safeguards, caller: Identity, deadline: Deadline
    ) -> Deleted:
        """Delete a subject with all its templates. Raises SubjectNotFound, WatchlistDenied."""
        once = safeguards.about("delete subject", subject_id)
        return await self._write(subjects.delete_subject(caller, subject_id, once), deadline)

    async def delete_template(
        self, subject_id: str, template_id: int, safeguards: Safeguards, caller: Identity, deadline: Deadline
    ) -> ChangedSubject:
        """Delete one template. Raises SubjectNotFound, TemplateNotFound, WatchlistDenied."""
        once = safeguards.about("delete template", subject_id, template_id)
        return await self._write(subjects.delete_template(caller, subject_id, template_id, once), deadline)

    async def _write(self, operation: Operation[T], deadline: Deadline) -> T:
        deadline.check()
        return await self.writing.write(operation)
