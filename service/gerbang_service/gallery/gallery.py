"""The gallery: all live templates, the lists they are on, and the search over them, at one revision."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.changes import Change, SubjectGone, SubjectPut, WatchlistGone, WatchlistPut
from gerbang_service.domain.errors import (
    StartupError,
    SubjectHasNoTemplate,
    SubjectNotFound,
    WatchlistNotFound,
)
from gerbang_service.domain.questions import GeneratorState
from gerbang_service.domain.subjects import StoredSubject, Subject
from gerbang_service.domain.watchlists import Direction, Watchlist
from gerbang_service.gallery.candidates.graph import Graph, GraphProgress
from gerbang_service.gallery.candidates.rotation import rotation
from gerbang_service.gallery.candidates.sketches import Sketches
from gerbang_service.gallery.numbering import ListNumbers
from gerbang_service.gallery.options import GalleryOptions, default_sketch_bits
from gerbang_service.gallery.search import Pools, Search
from gerbang_service.gallery.selection import Selections
from gerbang_service.gallery.table import ALWAYS, NEVER, NO_LABELS, Owner, Table
from gerbang_service.store.port import Contents

# What of a template is in the graph: so many of its rotated coordinates. At a third of the memory of all 512 the graph
# finds more mates in the same time (docs/search.md).
_GRAPH_DIRECTIONS = 128
# How long replaced templates are kept for searches under way, seconds.
_LONGEST_SEARCH_S = 1.0
# Combinations of lists that are remembered, at most, so that subjects on the same lists share one tuple.
_MOST_COMBINATIONS = 2**16

log = logging.getLogger(__name__)


def _itself(names: tuple[str, ...]) -> tuple[str, ...]:
    return names


@dataclass(slots=True)
class _Pending:
    """Subjects put into the table and not settled yet, the rows added for them, and the templates these supersede.

    Many subjects are settled at once: sketching one row costs as much as sketching a hundred.
    """

    subjects: set[str] = field(default_factory=set)
    added: list[int] = field(default_factory=list)
    superseded: list[int] = field(default_factory=list)


class Gallery:
    """Answers from memory. `load` and `apply` belong to one thread; everything else may be called from any."""

    def __init__(self, dimension: int, capacity: int, options: GalleryOptions) -> None:
        """`dimension`: of the templates; `capacity`: rows to make room for at once."""
        self.table = Table(dimension, capacity)
        bits = options.sketch_bits or default_sketch_bits(dimension)
        directions = min(_GRAPH_DIRECTIONS, dimension)
        self._rotation = rotation(dimension, max(bits, directions))
        self._sketches = Sketches(bits, self.table.columns.capacity)
        self.graph = Graph(self.table, self._rotation[:, :directions], options.graph)
        self._selections = Selections(self.table)
        self.search = Search(
            self.table,
            self._sketches,
            self.graph,
            self._selections,
            self._rotation,
            Pools(sweep=options.rescored, graph=options.graph.ef),
        )
        self.revision = 0
        self._owners: dict[str, Owner] = {}
        self._watchlists: Mapping[str, Watchlist] = {}
        self._numbers = ListNumbers()
        self._intern = lru_cache(_MOST_COMBINATIONS)(_itself)

    @property
    def watchlists(self) -> Mapping[str, Watchlist]:
        """All watchlists, by id. Replaced, never changed, when one changes."""
        return self._watchlists

    @property
    def size(self) -> int:
        """Live templates."""
        return self.table.live_count

    @property
    def subject_count(self) -> int:
        """Subjects, those without templates included."""
        return len(self._owners)

    def graph_progress(self) -> GraphProgress:
        """How far the graph follows."""
        return self.graph.progress()

    def generators(self) -> list[GeneratorState]:
        """How far each generator of candidates follows."""
        graph = self.graph.progress()
        return [GeneratorState("sweep", self.size, 0), GeneratorState("graph", graph.indexed, graph.pending)]

    # --- asking ---------------------------------------------------------------------------------------------------

    def lists_for(self, names: Sequence[str], direction: Direction) -> list[Watchlist]:
        """Return the lists to search: those named, else all; only those that concern the direction of travel.

        Raises WatchlistNotFound for a name that is not there: a gate that asks for a list that does not exist must
        not be told that nobody is on it.
        """
        watchlists = self._watchlists
        for name in names:
            if name not in watchlists:
                raise WatchlistNotFound(f"no watchlist {name}", watchlist_id=name)
        chosen: Iterable[Watchlist] = map(watchlists.__getitem__, names) if names else watchlists.values()
        return [each for each in chosen if each.direction.concerns(direction)]

    def list_bits(self, lists: Iterable[Watchlist]) -> NDArray[np.uint64]:
        """Return what admits subjects on any of these lists, as Filter.lists."""
        return self._numbers.bits(each.watchlist_id for each in lists)

    def compare(
        self, probe: NDArray[np.float32], subject_id: str, sees: Callable[[Sequence[str]], bool]
    ) -> tuple[float, int]:
        """Return the best exact similarity of a probe to a subject's templates, and that template's id.

        `sees` tells of a subject's lists whether the caller sees it. Raises SubjectNotFound, also for a subject that
        the caller does not see, or SubjectHasNoTemplate.
        """
        owner = self._owners.get(subject_id)
        if owner is None or not sees(owner.watchlists):
            raise SubjectNotFound(f"no subject {subject_id}", subject_id=subject_id)
        best = self.search.compare(probe, owner.template_ids)
        if best is None:
            raise SubjectHasNoTemplate(f"subject {subject_id} has no template", subject_id=subject_id)
        return best

    # --- changing -------------------------------------------------------------------------------------------------

    def template_ids(self, subject_id: str) -> Sequence[int] | None:
        """Return the ids of a subject's templates, or None when there is no such subject."""
        owner = self._owners.get(subject_id)
        return None if owner is None else owner.template_ids

    @property
    def watchlist_ids(self) -> Collection[str]:
        """Ids of all watchlists."""
        return self._watchlists

    def apply(self, changes: Sequence[Change], revision: int) -> None:
        """Make committed changes visible, in order; they lead to `revision`."""
        pending = _Pending()
        for change in changes:
            # Subjects are put many at a time, each once; anything else sees what was put before it.
            if not isinstance(change, SubjectPut) or change.subject.subject_id in pending.subjects:
                self._settle(pending)
                pending = _Pending()
            self._apply(change, pending)
        self._settle(pending)
        self.revision = revision

    def _apply(self, change: Change, pending: _Pending) -> None:
        match change:
            case SubjectPut():
                self._put_subject(change.subject, change.added, pending)
            case SubjectGone():
                for template_id in self._owners.pop(change.subject_id).template_ids:
                    self._remove(template_id)
            case WatchlistPut():
                self._put_watchlist(change.watchlist)
            case WatchlistGone():
                self._drop_watchlist(change.watchlist_id)

    def _put_subject(self, subject: Subject, added: Mapping[int, NDArray[np.float32]], pending: _Pending) -> None:
        known = self._owners.get(subject.subject_id)
        before = known.template_ids if known else ()
        kept = {each.template_id for each in subject.templates}
        live = [each for each in before if each in kept]
        owner = Owner(
            subject.subject_id,
            self._intern(subject.watchlists),
            dict(subject.labels) or NO_LABELS,
            ALWAYS if subject.valid_from_ns is None else subject.valid_from_ns,
            NEVER if subject.expire_time_ns is None else subject.expire_time_ns,
            (*live, *added),
        )
        if live:
            self._describe(live, owner)
        bits = self._numbers.bits(subject.watchlists)
        self._owners[subject.subject_id] = owner
        pending.subjects.add(subject.subject_id)
        pending.added += [self.table.add(owner, each, vector, bits) for each, vector in added.items()]
        pending.superseded += [each for each in before if each not in kept]

    def _settle(self, pending: _Pending) -> None:
        """Have searches find what was added, then take away what it superseded."""
        if pending.added:
            self._follow(np.array(pending.added, np.int64))
        # In this order, and the old ones stay for searches that began before: else one that had proposed an old
        # template, and looked too early for the new one, would miss the subject.
        if pending.added and pending.superseded and not self.table.readers.wait_for_earlier(_LONGEST_SEARCH_S):
            log.warning("a search takes more than %s s; it may miss a subject that was replaced", _LONGEST_SEARCH_S)
        for template_id in pending.superseded:
            self._remove(template_id)

    def _describe(self, template_ids: Sequence[int], owner: Owner) -> None:
        bits = self._numbers.bits(owner.watchlists)
        for template_id in template_ids:
            self.table.describe(template_id, owner, bits)
        rows = [row for each in template_ids if (row := self.table.row_of(each)) is not None]
        self._selections.changed(np.array(rows, np.int64), time.time_ns())

    def _follow(self, rows: NDArray[np.int64]) -> None:
        """Have what is derived from the table follow rows that were added to it."""
        columns = self.table.columns
        if columns.capacity > self._sketches.capacity:
            self._sketches.resize(columns.capacity)
            self._selections.forget()
        self._sketches.write(rows, columns.vectors[rows] @ self._rotation)
        self._selections.changed(rows, time.time_ns())
        self.graph.wake()

    def _remove(self, template_id: int) -> None:
        row = self.table.remove(template_id)
        self._selections.changed(np.array([row], np.int64), time.time_ns())
        self._sketches.erase(row)
        self.graph.remove(row)

    def _put_watchlist(self, watchlist: Watchlist) -> None:
        self._numbers.add(watchlist.watchlist_id)
        self._watchlists = {**self._watchlists, watchlist.watchlist_id: watchlist}

    def _drop_watchlist(self, watchlist_id: str) -> None:
        self._watchlists = {name: each for name, each in self._watchlists.items() if name != watchlist_id}
        # The number is free for another list only after no row carries it any more.
        self.table.clear_list(self._numbers.of(watchlist_id))
        self._selections.forget()
        self._numbers.remove(watchlist_id)
        for owner in [each for each in self._owners.values() if watchlist_id in each.watchlists]:
            self._leave(owner, watchlist_id)

    def _leave(self, owner: Owner, watchlist_id: str) -> None:
        remaining = self._intern(tuple(name for name in owner.watchlists if name != watchlist_id))
        left = Owner(
            owner.subject_id,
            remaining,
            owner.labels,
            owner.valid_from_ns,
            owner.expire_time_ns,
            owner.template_ids,
        )
        self._describe(owner.template_ids, left)
        self._owners[owner.subject_id] = left

    # --- starting -------------------------------------------------------------------------------------------------

    def load(self, contents: Contents) -> None:
        """Fill an empty gallery.

        Raises StartupError for a vector of the wrong length: the database was damaged or tampered with.
        """
        for watchlist in contents.watchlists:
            self._put_watchlist(watchlist)
        owners = {stored.subject_key: self._load_subject(stored) for stored in contents.subjects}
        for batch in contents.templates:
            self._load_batch(batch, owners)
        self.revision = contents.revision

    def _load_subject(self, stored: StoredSubject) -> Owner:
        owner = Owner(
            stored.subject_id,
            self._intern(stored.watchlists),
            stored.labels or NO_LABELS,
            ALWAYS if stored.valid_from_ns is None else stored.valid_from_ns,
            NEVER if stored.expire_time_ns is None else stored.expire_time_ns,
            stored.template_ids,
        )
        self._owners[stored.subject_id] = owner
        return owner

    def _load_batch(self, batch: Sequence[tuple[int, int, bytes]], owners: Mapping[int, Owner]) -> None:
        width = 4 * self.table.dimension
        for template_id, _, vector in batch:
            if len(vector) != width:
                raise StartupError(f"template {template_id} has {len(vector)} bytes instead of {width}: damaged")
        vectors = np.frombuffer(b"".join(vector for _, _, vector in batch), "<f4").reshape(len(batch), -1)
        batch_owners = [owners[key] for _, key, _ in batch]
        words = self._numbers.words
        known = {names: self._numbers.bits(names, words) for names in {owner.watchlists for owner in batch_owners}}
        bits = np.stack([known[owner.watchlists] for owner in batch_owners])
        ids = np.array([each for each, _, _ in batch], np.int64)
        self._follow(self.table.add_many(batch_owners, ids, vectors, bits))
