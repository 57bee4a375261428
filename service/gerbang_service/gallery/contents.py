"""What the gallery holds, and how changes become visible in it: all at once, at their revision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.changes import (
    Change,
    ProposalsChanged,
    SubjectGone,
    SubjectPut,
    WatchlistGone,
    WatchlistPut,
)
from gerbang_service.domain.subjects import Subject
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery.candidates.port import Added, Generator
from gerbang_service.gallery.combinations import Combination, Combinations
from gerbang_service.gallery.consistency import Consistency
from gerbang_service.gallery.judge import State
from gerbang_service.gallery.loading import Loading
from gerbang_service.gallery.scopes import Scopes
from gerbang_service.gallery.selection import Selections
from gerbang_service.gallery.table import ALWAYS, NEVER, NO_LABELS, Owner, Table
from gerbang_service.gallery.validity import Validity
from gerbang_service.store.port import Contents


@dataclass(slots=True)
class _Touched:
    """Rows that a group of changes brought, changed or ended, and the combinations of lists they are and were on.

    `newcomers`: who is new, by subject_id, and has no rows yet. `left`: combinations, once for each subject that left
    one.
    """

    newcomers: dict[str, tuple[Owner, SubjectPut]] = field(default_factory=dict)

    added: list[int] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    combinations: set[int] = field(default_factory=set)
    left: list[Combination] = field(default_factory=list)


class GalleryContents:
    """Subjects, their templates and lists. What changes it belongs to one thread, `state` and `owner` to any."""

    def __init__(
        self,
        table: Table,
        rotation: NDArray[np.float32],
        generators: Sequence[Generator],
        consistency: Consistency,
        moment_ns: int,
    ) -> None:
        """`rotation`: float32 (dimension, directions), for generators; `moment_ns`: the time now."""
        self._table = table
        self._rotation = rotation
        self._generators = generators
        self._consistency = consistency
        self._combinations = Combinations()
        self._owners: dict[str, Owner] = {}
        self.validity: Final = Validity(table, moment_ns)
        self.selections: Final = Selections(table, self._combinations, self.validity, consistency)
        self._watchlists: Mapping[str, Watchlist] = {}
        self.state = State(0, 0, 0, Scopes({}, self._combinations, consistency))
        """What can be found; replaced as a whole."""

    @property
    def subject_count(self) -> int:
        """Subjects, those without templates included."""
        return len(self._owners)

    def owner(self, subject_id: str) -> Owner | None:
        """Return a subject, or None."""
        return self._owners.get(subject_id)

    def move_to(self, moment_ns: int) -> None:
        """Have those count whose validity holds at another moment."""
        with self._consistency.taking_away():
            rows = self.validity.move_to(moment_ns)
            self.selections.changed(rows, np.unique(self._table.combination[rows]).astype(np.int64))

    # --- changing ---------------------------------------------------------------------------------------------------

    def apply(self, changes: Sequence[Change], revision: int) -> None:
        """Make changes visible, all at once; they lead to `revision`."""
        touched = _Touched()
        adds_only = all(self._only_adds(each) for each in changes)
        with self._consistency.held_off() if adds_only else self._consistency.taking_away():
            for change in changes:
                self._apply(change, touched)
            self._settle(touched)
            self._follow(touched)
            self._publish(revision)
        self._erase(touched)

    def _only_adds(self, change: Change) -> bool:
        """Tell whether a change can't concern anything that a search may be reading."""
        match change:
            case SubjectPut():
                return change.subject.subject_id not in self._owners
            case WatchlistPut() | ProposalsChanged():
                return True
            case _:
                return False

    def _apply(self, change: Change, touched: _Touched) -> None:
        if isinstance(change, SubjectPut) and change.added and self._is_new(change.subject.subject_id, touched):
            touched.newcomers[change.subject.subject_id] = self._enter(change.subject, (), touched), change
            return
        self._settle(touched)
        match change:
            case SubjectPut():
                self._put_subject(change, touched)
            case SubjectGone():
                owner = self._owners.pop(change.subject_id)
                self._leave(owner, touched)
                self._end(owner.rows, change.revision, touched)
            case WatchlistPut():
                self._watchlists = {**self._watchlists, change.watchlist.watchlist_id: change.watchlist}
            case WatchlistGone():
                self._drop_watchlist(change.watchlist_id)
            case ProposalsChanged():
                pass

    def _is_new(self, subject_id: str, touched: _Touched) -> bool:
        return subject_id not in self._owners and subject_id not in touched.newcomers

    def _settle(self, touched: _Touched) -> None:
        """Give newcomers their rows, all at once: one by one, that costs several times as much."""
        if not touched.newcomers:
            return
        each_row = [(owner, change.revision) for owner, change in touched.newcomers.values() for _ in change.added]
        added = self._table.add(
            [owner for owner, _ in each_row],
            np.array([each for _, change in touched.newcomers.values() for each in change.added], np.int64),
            np.stack([vector for _, change in touched.newcomers.values() for vector in change.added.values()]),
            np.array([revision for _, revision in each_row], np.int64),
        )
        of_combination: dict[Combination, list[int]] = {}
        rows = added.tolist()
        touched.added += rows
        taken = iter(rows)
        for owner, change in touched.newcomers.values():
            owner.rows = tuple(islice(taken, len(change.added)))
            of_combination.setdefault(owner.combination, []).extend(owner.rows)
            # Only now: who is found has rows.
            self._owners[owner.subject_id] = owner
        for combination, theirs in of_combination.items():
            self._combinations.add(combination, np.array(theirs, np.int64))
        touched.newcomers.clear()

    def _put_subject(self, change: SubjectPut, touched: _Touched) -> None:
        subject, known = change.subject, self._owners.get(change.subject.subject_id)
        rows = known.rows if known else ()
        ids = {each.template_id for each in subject.templates}
        kept = tuple(row for row in rows if int(self._table.template_ids[row]) in ids)
        # First onto its lists, then off the old ones, so that a combination that goes on is not made anew.
        owner = self._enter(subject, kept, touched)
        if known is not None:
            self._leave(known, touched)
            self._end([row for row in rows if row not in kept], change.revision, touched)
            touched.changed += kept
        if kept:
            self._combinations.add(owner.combination, np.array(kept, np.int64))
            self._table.describe(owner)
        if change.added:
            added = self._table.add(
                [owner] * len(change.added),
                np.fromiter(change.added, np.int64, len(change.added)),
                np.stack(list(change.added.values())),
                change.revision,
            )
            self._combinations.add(owner.combination, added)
            owner.rows = (*kept, *added.tolist())
            touched.added += owner.rows[len(kept) :]
        self._owners[subject.subject_id] = owner

    def _enter(self, subject: Subject, rows: tuple[int, ...], touched: _Touched) -> Owner:
        combination, new = self._combinations.of(subject.watchlists)
        combination.subjects += 1
        if new:
            self.state.scopes.combined(combination)
            self.selections.combined(combination)
        touched.combinations.add(combination.number)
        return Owner(
            subject.subject_id,
            combination,
            dict(subject.labels) or NO_LABELS,
            ALWAYS if subject.valid_from_ns is None else subject.valid_from_ns,
            NEVER if subject.expire_time_ns is None else subject.expire_time_ns,
            rows,
        )

    def _leave(self, owner: Owner, touched: _Touched) -> None:
        """Take an owner's rows off its lists."""
        touched.combinations.add(owner.combination.number)
        for row in owner.rows:
            self._combinations.remove(owner.combination, row)
        touched.left.append(owner.combination)

    def _end(self, rows: Sequence[int], revision: int, touched: _Touched) -> None:
        if rows:
            self._table.end(rows, revision)
            touched.ended += rows
            touched.changed += rows

    def _drop_watchlist(self, watchlist_id: str) -> None:
        self._watchlists = {name: each for name, each in self._watchlists.items() if name != watchlist_id}
        self._combinations.drop(watchlist_id)
        self.selections.list_gone(watchlist_id)

    def _follow(self, touched: _Touched) -> None:
        """Have what is derived from the table follow rows that changed."""
        table = self._table
        if touched.added:
            added = np.array(touched.added, np.int64)
            # Those that came and went in one group are left out.
            self._tell(added[table.died[added] == NEVER])
        rows = np.unique(np.array([*touched.added, *touched.changed], np.int64))
        self.validity.note(rows)
        self.selections.changed(rows, np.fromiter(touched.combinations, np.int64, len(touched.combinations)))
        # Now that nothing says any more who was on them, their numbers may be others'.
        for combination in touched.left:
            self._combinations.release(combination)

    def _tell(self, rows: NDArray[np.int64]) -> None:
        if not len(rows):
            return
        vectors = self._table.vectors[rows]
        new = Added(rows, self._table.template_ids[rows], vectors, vectors @ self._rotation)
        for generator in self._generators:
            generator.added(new)

    def _erase(self, touched: _Touched) -> None:
        """Erase what ended, which nobody finds any more."""
        if not touched.ended:
            return
        told = sorted(set(touched.ended).difference(touched.added))
        if told:
            for generator in self._generators:
                generator.removed(np.array(told, np.int64))
        self._table.erase(np.array(touched.ended, np.int64))

    def _publish(self, revision: int) -> None:
        scopes = self.state.scopes
        # Anew too when so many came or went that thresholds may move: an answer has those of its revision.
        if scopes.watchlists is not self._watchlists or scopes.counts.moved():
            scopes = Scopes(self._watchlists, self._combinations, self._consistency)
            self._combinations.on_count = scopes.counts.changed
        self.state = State(revision, self._table.rows, self._table.size, scopes)

    # --- starting ---------------------------------------------------------------------------------------------------

    def load(self, contents: Contents, check: Callable[[], None]) -> None:
        """Take in all that is stored. `check` is called now and then, and may raise to give up.

        Raises StartupError for a vector that can't be one: nobody is left out, or found in another's place, silently.
        """
        self._watchlists = {each.watchlist_id: each for each in contents.watchlists}
        self._owners = Loading(self._table, self._combinations, self._tell).load(contents, check)
        everything = np.arange(self._table.rows)
        self._combinations.fill(self._table.combination[: self._table.rows])
        self.validity.note(everything)
        self._publish(contents.revision)
