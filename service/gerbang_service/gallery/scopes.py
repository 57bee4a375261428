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

from gerbang_service.domain.decision import Candidate, Comparison, Thresholds, decide
from gerbang_service.domain.errors import WatchlistNotFound
from gerbang_service.domain.questions import Everybody, OnLists
from gerbang_service.domain.thresholds import Rule, Threshold
from gerbang_service.domain.watchlists import Action, Watchlist
from gerbang_service.gallery.combinations import Combination, Combinations
from gerbang_service.gallery.consistency import Consistency
from gerbang_service.gallery.counts import Counts
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

    default: Threshold
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


@dataclass(frozen=True, slots=True, eq=False)
class InForce:
    """The thresholds that a search has which names none. `server`: of all lists without one of their own together.

    `by_list`: of those with one, or a target, of their own. `everybody`: of a search among all who are enrolled.
    """

    server: Threshold
    everybody: Threshold
    by_list: Mapping[str, Threshold]


class Scopes:
    """The scopes of one set of watchlists, and of one step of how many are on them (see `Counts`).

    `of` and `in_force` may be called by any thread, `combined` by who holds off changes.
    """

    def __init__(
        self, watchlists: Mapping[str, Watchlist], combinations: Combinations, consistency: Consistency
    ) -> None:
        self.watchlists = watchlists
        self._combinations = combinations
        self._consistency = consistency
        self._kept: dict[OnLists | Everybody, Scope] = {}
        self._in_force: dict[Rule, InForce] = {}
        self.counts: Final = Counts(combinations)

    def of(self, among: OnLists | Everybody) -> Scope:
        """Return where a question looks. Raises WatchlistNotFound."""
        known = self._kept.get(among)
        if known is not None:
            return known
        with self._consistency.held_off():
            if len(self._kept) >= _KEPT:
                # With the numbers that their thresholds go by, each of which costs a step a change.
                self._kept, self._in_force = {}, {}
                self.counts.forget()
            scope = self._everybody(among) if isinstance(among, Everybody) else self._on_lists(among)
            for each in self._combinations:
                scope.note(each)
            self._kept[among] = scope
        return scope

    def in_force(self, rule: Rule) -> InForce:
        """Return the thresholds that follow from the server's rule."""
        known = self._in_force.get(rule)
        if known is None:
            with self._consistency.held_off():
                thresholds = Thresholds.of(self.watchlists.values(), rule, self.counts.on)
                by_list = {name: each for name, each in thresholds.by_list.items() if each is not thresholds.default}
                known = self._in_force[rule] = InForce(thresholds.default, self._among_all(rule), by_list)
        return known

    def _among_all(self, rule: Rule) -> Threshold:
        return rule.of_server(self.counts.on(None))

    def combined(self, combination: Combination) -> None:
        """Note a combination that nobody was on so far."""
        for each in self._kept.values():
            each.note(combination)

    # --- resolving --------------------------------------------------------------------------------------------------

    def _everybody(self, among: Everybody) -> Scope:
        default, seen_by = self._among_all(among.rule), among.seen_by
        threshold = default.cosine

        def floor(names: tuple[str, ...]) -> float:
            return threshold if seen_by is None or not seen_by.isdisjoint(names) else math.inf

        def decided(comparison: Comparison) -> Candidate:
            return Candidate(comparison.subject_id, comparison.similarity, threshold, comparison.template_id)

        return Scope(default, False, (Level(seen_by, threshold),), floor, decided)

    def _on_lists(self, among: OnLists) -> Scope:
        lists = self._searched(among)
        thresholds = Thresholds.of(
            lists,
            among.rule,
            self.counts.on,
            request=among.threshold,
            never_below_own=among.never_below_own,
        )
        known = {each.watchlist_id: each for each in lists}
        cosines = {name: each.cosine for name, each in thresholds.by_list.items()}

        def decided(comparison: Comparison) -> Candidate | None:
            return decide(comparison, thresholds, known)

        stopping = thresholds.of_lists({each.watchlist_id for each in lists if each.action is not Action.SILENT_ALERT})
        return Scope(
            thresholds.default,
            True,
            _levels(cosines),
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
