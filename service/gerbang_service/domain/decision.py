"""From similarities to decisions: which subjects are hits, in which lists, and what is to be done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gerbang_service.domain.watchlists import Action, Watchlist

DEFAULT_CANDIDATES = 5
MAX_CANDIDATES = 100


def as_float32(value: float) -> float:
    """Round to float32, so that a threshold that crossed the wire compares equal to the one in the settings."""
    return float(np.float32(value))


@dataclass(frozen=True, slots=True)
class Comparison:
    """The best template of one subject against the probe. `watchlists`: all lists that the subject is on."""

    subject_id: str
    similarity: float
    template_id: int
    watchlists: tuple[str, ...]
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A subject that was found. `threshold`: the lowest that it passed; `watchlists`: those it hit in, sorted."""

    subject_id: str
    similarity: float
    threshold: float
    template_id: int
    watchlists: tuple[str, ...] = ()
    action: Action | None = None
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The threshold in force in every list searched. `default`: where a list has none of its own."""

    default: float
    by_list: Mapping[str, float]

    @classmethod
    def of(
        cls, lists: Iterable[Watchlist], *, server: float, request: float | None, never_below_own: bool = False
    ) -> Thresholds:
        """Resolve the thresholds for a search in `lists`. All are cosines, -1 to 1.

        `never_below_own`: the request's counts only where it is higher than what is in force without it.
        """

        def in_force(own: float | None) -> float:
            without = server if own is None else own
            if request is None:
                return as_float32(without)
            return as_float32(max(request, without) if never_below_own else request)

        return cls(in_force(None), {each.watchlist_id: in_force(each.threshold) for each in lists})

    @property
    def floor(self) -> float:
        """The lowest threshold in force: below it nothing can be a hit."""
        return min(self.by_list.values(), default=self.default)


def decide(comparison: Comparison, thresholds: Thresholds, watchlists: Mapping[str, Watchlist]) -> Candidate | None:
    """Decide whether a compared subject is a candidate; None when it passes no threshold of a searched list."""
    passed = [
        name
        for name in comparison.watchlists
        if name in thresholds.by_list and comparison.similarity >= thresholds.by_list[name]
    ]
    known = [name for name in sorted(passed) if name in watchlists]
    if not known:
        return None
    return Candidate(
        subject_id=comparison.subject_id,
        similarity=comparison.similarity,
        threshold=min(thresholds.by_list[name] for name in known),
        template_id=comparison.template_id,
        watchlists=tuple(known),
        action=max(watchlists[name].action for name in known),
        labels=comparison.labels,
    )


def ranked(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Order by similarity, best first, ties by subject_id, so that the same question gets the same answer."""
    return sorted(comparisons, key=lambda each: (-each.similarity, each.subject_id))
