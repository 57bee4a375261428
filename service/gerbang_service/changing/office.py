"""Changing lists and subjects: what the watchlist office may do, done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from gerbang_service.access.identity import Identity
from gerbang_service.changing import subjects, watchlists
from gerbang_service.changing.submitting import Writing
from gerbang_service.domain.subjects import Subject
from gerbang_service.domain.watchlists import CountedWatchlist, Watchlist
from gerbang_service.store.port import Operation
from gerbang_service.threads.admission import Deadline

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OfficeChanges:
    """Changes lists and subjects, within what a caller is bound to. Its methods belong to the event loop.

    Each returns what is stored now, if anything is left, and the revision; then the change is durable and visible.
    """

    writing: Writing

    async def create_watchlist(
        self, watchlist: Watchlist, caller: Identity, deadline: Deadline
    ) -> tuple[CountedWatchlist, int]:
        """Create a watchlist. Raises WatchlistExists, WatchlistDenied."""
        caller.check_watchlists([watchlist.watchlist_id])
        return await self._write(watchlists.create_watchlist(watchlist), deadline)

    async def update_watchlist(
        self, watchlist_id: str, changed: Mapping[str, Any], caller: Identity, deadline: Deadline
    ) -> tuple[CountedWatchlist, int]:
        """Change fields of a watchlist. Raises WatchlistNotFound, WatchlistDenied."""
        caller.check_watchlists([watchlist_id])
        return await self._write(watchlists.update_watchlist(watchlist_id, changed), deadline)

    async def delete_watchlist(self, watchlist_id: str, caller: Identity, deadline: Deadline, *, force: bool) -> int:
        """Delete a watchlist. Raises WatchlistNotFound, WatchlistNotEmpty unless `force`, WatchlistDenied."""
        caller.check_watchlists([watchlist_id])
        return await self._write(watchlists.delete_watchlist(watchlist_id, force=force), deadline)

    async def update_subject(
        self, subject_id: str, changed: Mapping[str, Any], caller: Identity, deadline: Deadline
    ) -> tuple[Subject, int]:
        """Change fields of a subject. Raises SubjectNotFound, WatchlistNotFound, WatchlistDenied, FieldInvalid."""
        caller.check_watchlists(changed.get("watchlists", ()))
        return await self._write(subjects.update_subject(caller, subject_id, changed), deadline)

    async def delete_subject(self, subject_id: str, caller: Identity, deadline: Deadline) -> int:
        """Delete a subject with all its templates. Raises SubjectNotFound, WatchlistDenied."""
        return await self._write(subjects.delete_subject(caller, subject_id), deadline)

    async def delete_template(
        self, subject_id: str, template_id: int, caller: Identity, deadline: Deadline
    ) -> tuple[Subject, int]:
        """Delete one template. Raises SubjectNotFound, TemplateNotFound, WatchlistDenied."""
        return await self._write(subjects.delete_template(caller, subject_id, template_id), deadline)

    async def _write(self, operation: Operation[T], deadline: Deadline) -> T:
        deadline.check()
        return await self.writing.write(operation)
