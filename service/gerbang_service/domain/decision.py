"""From similarities to decisions: which subjects are hits, in which lists, and what is to be done."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from gerbang_service.domain.thresholds import Rule, Source, Threshold
from gerbang_service.domain.watchlists import Action, Watchlist

DEFAULT_CANDIDATES = 5
MAX_CANDIDATES = 100


class Decision(Enum):
    """What a search came to. SILENT_HIT: somebody was found, and the traveller is to pass and to notice nothing."""

    NO_HIT = "no_hit"
    HIT = "hit"
    SILENT_HIT = "silent_hit"


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
    """A subject that was found. `threshold`: the lowest that it passed; `watchlists`: those it hit in, sorted.

    `basis`: that threshold, and where it comes from; None of somebody who is looked for on no list.
    """

    subject_id: str
    similarity: float
    threshold: float
    template_id: int
    watchlists: tuple[str, ...] = ()
    action: Action | None = None
    labels: Mapping[str, str] | None = None
    basis: Threshold | None = None

    @property
    def silent(self) -> bool:
        """Whether the traveller is to pass, and to notice nothing."""
        return self.action is Action.SILENT_ALERT


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The threshold of every list searched. `default`: of a list without one of its own."""

    default: Threshold
    by_list: Mapping[str, Threshold]

    @classmethod
    def of(
        cls,
        lists: Collection[Watchlist],
        rule: Rule,
        templates_on: Callable[[frozenset[str]], int],
        *,
        request: float | None = None,
        never_below_own: bool = False,
    ) -> Thresholds:
        """Resolve the thresholds for a search in `lists`: the request's, else the list's own, else the server's.

        `rule`: the server's. A stranger is stopped when any list hits: so the server's target is that of all lists
        together that follow it, and a list's own that of this list. `templates_on`: tells how many templates are on any
        of some lists. `never_below_own`: the request's raises a list's own threshold and never lowers it: who asks at
        -1 would be told face by face who is on a list. `request`: a cosine, -1 to 1.
        """
        own = {each.watchlist_id for each in lists if each.threshold is not None or each.target_fpir is not None}
        names = frozenset(each.watchlist_id for each in lists)
        server = rule.of_server(templates_on(names - own))
        asked = None if request is None else rule.at(request, Source.REQUEST, templates_on(names))

        def in_force(without: Threshold) -> Threshold:
            if asked is None or (never_below_own and without.cosine > asked.cosine):
                return without
            return asked

        def of_list(each: Watchlist) -> Threshold:
            name = each.watchlist_id
            return rule.of_list(each, templates_on(frozenset((name,)))) if name in own else server

        return cls(in_force(server), {each.watchlist_id: in_force(of_list(each)) for each in lists})

    def of_combination(self, watchlists: Iterable[str]) -> float:
        """Return the similarity from which on somebody on these lists is a candidate; infinity on no list searched."""
        return min((self.by_list[name].cosine for name in watchlists if name in self.by_list), default=math.inf)

    def of_lists(self, names: Collection[str]) -> Thresholds:
        """Return those of some of the lists."""
        return Thresholds(self.default, {name: each for name, each in self.by_list.items() if name in names})


def decide(comparison: Comparison, thresholds: Thresholds, watchlists: Mapping[str, Watchlist]) -> Candidate | None:
    """Decide whether a compared subject is a candidate; None when it passes no threshold of a searched list."""
    passed = [
        name
        for name in comparison.watchlists
        if name in thresholds.by_list and comparison.similarity >= thresholds.by_list[name].cosine
    ]
    known = [name for name in sorted(passed) if name in watchlists]
    if not known:
        return None
    lowest = min((thresholds.by_list[name] for name in known), key=lambda each: each.cosine)
    return Candidate(
        subject_id=comparison.subject_id,
        similarity=comparison.similarity,
        threshold=lowest.cosine,
        template_id=comparison.template_id,
        watchlists=tuple(known),
        action=max(watchlists[name].action for name in known),
        labels=comparison.labels,
        basis=lowest,
    )


def decision_of(candidates: Sequence[Candidate]) -> Decision:
    """Return what a search came to that has these candidates, cut to a number by `ranked`."""
    if not candidates:
        return Decision.NO_HIT
    return Decision.SILENT_HIT if all_silent(candidates) else Decision.HIT


def all_silent(candidates: Iterable[Candidate]) -> bool:
    """Tell whether none of them is to be stopped."""
    return all(each.silent for each in candidates)


def ranked(candidates: Iterable[Candidate], limit: int) -> list[Candidate]:
    """Return the best, at most `limit`: by similarity, ties by subject_id, so that the same question has one answer.

    Where all of these are silent alerts and somebody is to be stopped, the best of those is the last one: how many
    candidates are wanted must not decide who passes.
    """
    best = sorted(candidates, key=lambda each: (-each.similarity, each.subject_id))
    kept = best[:limit]
    if len(best) > limit and all_silent(kept):
        kept[-1] = next((each for each in best[limit:] if not each.silent), kept[-1])
    return kept


def best_of_each(candidates: Iterable[Candidate], limit: int) -> list[Candidate]:
    """Return the best as `ranked` does, each subject once, with its highest similarity."""
    best: dict[str, Candidate] = {}
    for each in candidates:
        known = best.get(each.subject_id)
        if known is None or each.similarity > known.similarity:
            best[each.subject_id] = each
    return ranked(best.values(), limit)
