"""Where a question looks, and from which similarity on: its lists and thresholds, resolved for one state.

A list with a low threshold costs only its own members. Candidates above the usual thresholds are proposed from all who
are on the lists; those on lists with lower ones are proposed once more, by themselves: a scope has levels.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.decision import Candidate, Comparison, Thresholds, as_float32, decide
from gerbang_service.domain.errors import WatchlistNotFound
from gerbang_service.domain.questions import Everybody, OnLists
from gerbang_service.domain.watchlists import Action, Watchlist
from gerbang_service.gallery.combinations import Combination, Combinations
from gerbang_service.gallery.consistency import Consistency
from gerbang_service.gallery.selection import Selection

# Scopes that are remembered; an airport asks in a handful of ways.
_KEPT: Final = 256
# Thresholds as near as this to each other share a level: there are few strangers in between.
_NEAR: Final = 0.05
# Levels that are swept each by itself, at most.
_MOST_LEVELS: Final = 4


@dataclass(slots=True, eq=False)
class Level:
    """Lists whose members are proposed together (None: everybody), down to similarity `lowest`.

    `selection`: of these, as last used; weak, as scopes that nobody asks for any more would keep many.
    """

    names: frozenset[str] | None
    lowest: float
    selection: weakref.ref[Selection] | None = None


@dataclass(slots=True, eq=False)
class Scope:
    """What a question's lists and thresholds come to. `default`: the threshold of a list without one of its own.

    `floors`: float32, by the number of a combination of lists: the similarity from which on somebody on them is a
    candidate; infinity for nobody. `floor`: of a combination. `decide`: makes a candidate of who has reached the floor.
    `stop_floors`, `stop_floor`: the same of who is to be stopped; None where no list that is searched says so.
    """

    default: float
    in_force: bool
    levels: tuple[Level, ...]
    floor: Callable[[tuple[str, ...]], float]
    decide: Callable[[Comparison], Candidate | None]
    stop_floor: Callable[[tuple[str, ...]], float] | None = None
    floors: NDArray[np.float32] = field(default_factory=lambda: np.full(1, np.inf, np.float32))
    stop_floors: NDArray[np.float32] = field(default_factory=lambda: np.full(1, np.inf, np.float32))

    @property
    def tells_top(self) -> bool:
        """Whether the highest similarity is asked for: of a search of the lists, not of one for duplicates."""
        return self.in_force

    @property
    def lowest(self) -> float:
        """Below it nobody is a candidate."""
        return min((each.lowest for each in self.levels), default=math.inf)

    def note(self, combination: Combination) -> None:
        """Have a floor for a combination."""
        number = combination.number
        self.floors = _long_enough(self.floors, number)
        self.floors[number] = self.floor(combination.names)
        if self.stop_floor is not None:
            self.stop_floors = _long_enough(self.stop_floors, number)
            self.stop_floors[number] = self.stop_floor(combination.names)


def _long_enough(floors: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    """Return floors with a place for a combination's number."""
    if number < len(floors):
        return floors
    longer = np.full(2 * number + 8, np.inf, np.float32)
    longer[: len(floors)] = floors
    return longer


class Scopes:
    """The scopes of one set of watchlists. `of` may be called by any thread, `combined` by who holds off changes."""

    def __init__(
        self, watchlists: Mapping[str, Watchlist], combinations: Combinations, consistency: Consistency
    ) -> None:
        self.watchlists = watchlists
        self._combinations = combinations
        self._consistency = consistency
        self._kept: dict[OnLists | Everybody, Scope] = {}

    def of(self, among: OnLists | Everybody) -> Scope:
        """Return where a question looks. Raises WatchlistNotFound."""
        known = self._kept.get(among)
        if known is not None:
            return known
        with self._consistency.held_off():
            scope = self._everybody(among) if isinstance(among, Everybody) else self._on_lists(among)
            for each in self._combinations:
                scope.note(each)
            if len(self._kept) >= _KEPT:
                self._kept = {}
            self._kept[among] = scope
        return scope

    def combined(self, combination: Combination) -> None:
        """Note a combination that nobody was on so far."""
        for each in self._kept.values():
            each.note(combination)

    # --- resolving --------------------------------------------------------------------------------------------------

    def _everybody(self, among: Everybody) -> Scope:
        threshold, seen_by = as_float32(among.threshold), among.seen_by

        def floor(names: tuple[str, ...]) -> float:
            return threshold if seen_by is None or not seen_by.isdisjoint(names) else math.inf

        def decided(comparison: Comparison) -> Candidate:
            return Candidate(comparison.subject_id, comparison.similarity, threshold, comparison.template_id)

        return Scope(threshold, False, (Level(seen_by, threshold),), floor, decided)

    def _on_lists(self, among: OnLists) -> Scope:
        lists = self._searched(among)
        thresholds = Thresholds.of(
            lists,
            server=among.server_threshold,
            request=among.threshold,
            never_below_own=among.never_below_own,
        )
        known = {each.watchlist_id: each for each in lists}

        def decided(comparison: Comparison) -> Candidate | None:
            return decide(comparison, thresholds, known)

        stopping = thresholds.of_lists({each.watchlist_id for each in lists if each.action is not Action.SILENT_ALERT})
        return Scope(
            thresholds.default,
            True,
            _levels(thresholds.by_list),
            thresholds.of_combination,
            decided,
            stopping.of_combination if stopping.by_list else None,
        )

    def _searched(self, among: OnLists) -> list[Watchlist]:
        """Return the lists to search: those named, else all; only those that concern the direction of travel.

        A gate that asks for a list that does not exist must not be told that nobody is on it.
        """
        for name in among.names:
            if name not in self.watchlists:
                raise WatchlistNotFound(f"no watchlist {name}", watchlist_id=name)
        chosen = map(self.watchlists.__getitem__, among.names) if among.names else self.watchlists.values()
        return [each for each in chosen if each.direction.concerns(among.direction)]


def _levels(by_list: Mapping[str, float]) -> tuple[Level, ...]:
    """Return the levels of lists by threshold: first that of all, each next one of those below the one before."""
    cuts = _cuts(sorted(set(by_list.values())))
    levels = [Level(frozenset(by_list), cuts[-1])] if cuts else []
    levels += [
        Level(frozenset(name for name, each in by_list.items() if each < above), lowest)
        for lowest, above in reversed(list(pairwise(cuts)))
    ]
    return tuple(levels)


def _cuts(thresholds: Sequence[float]) -> list[float]:
    """Return the lowest similarity of each level, ascending. `thresholds`: ascending, each once.

    Not by how many are on which list: that changes with every enrolment.
    """
    cuts: list[float] = []
    for each in thresholds:
        if not cuts or each >= cuts[-1] + _NEAR:
            cuts.append(each)
    while len(cuts) > _MOST_LEVELS:
        gaps = [above - lowest for lowest, above in pairwise(cuts)]
        del cuts[gaps.index(min(gaps)) + 1]
    return cuts
