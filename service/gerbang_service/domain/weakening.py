"""Changes by which a watchlist stops fewer people than before: what to be told of, and asked about."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import TypeAlias

from gerbang_service.domain.subjects import Subject
from gerbang_service.domain.watchlists import Direction, Watchlist


class Weakening(Enum):
    """How a change weakens a watchlist."""

    REMOVED = "removed"
    """Somebody left it, was deleted, or lost the last template."""
    TEMPLATES = "templates"
    """Somebody on it lost a template, and has others."""
    VALIDITY = "validity"
    """Somebody on it is found for less long: an earlier end, or a later beginning."""
    LIST = "list"
    """The list was deleted, or has a higher threshold or a lower target, a milder action, or only one direction, or
    needs no second person any more."""


Weakened: TypeAlias = frozenset[tuple[str, Weakening]]
"""Lists, and how each was weakened."""
NOT_WEAKENED: Weakened = frozenset()


def removed_from(lists: Iterable[str]) -> Weakened:
    """Return what it is that somebody left these lists."""
    return frozenset((each, Weakening.REMOVED) for each in lists)


def of_subject(before: Subject, after: Subject) -> Weakened:
    """Return what a change of a subject weakens."""
    if before.templates and not after.templates:
        return removed_from(before.watchlists)
    left = set(before.watchlists).difference(after.watchlists)
    stayed = set(before.watchlists).intersection(after.watchlists)
    ways = {Weakening.VALIDITY: _less_long(before, after), Weakening.TEMPLATES: _lost_templates(before, after)}
    return removed_from(left) | {(each, way) for each in stayed for way, found in ways.items() if found}


def of_watchlist(before: Watchlist, after: Watchlist | None) -> Weakened:
    """Return what a change of a list weakens; None: it was deleted."""
    weakened = (
        after is None
        or after.action < before.action
        or _raised(before, after)
        or (before.two_person_removal and not after.two_person_removal)
        or (before.direction is not after.direction and after.direction is not Direction.BOTH)
    )
    return frozenset({(before.watchlist_id, Weakening.LIST)}) if weakened else NOT_WEAKENED


def _raised(before: Watchlist, after: Watchlist) -> bool:
    """Tell whether a threshold may be higher.

    Between a fixed one, one that follows the list's target, and the server's, which may change, that is open.
    """
    if before.threshold is not None and after.threshold is not None:
        return after.threshold > before.threshold
    if before.target_fpir is not None and after.target_fpir is not None:
        return after.target_fpir < before.target_fpir
    return (before.threshold, before.target_fpir) != (after.threshold, after.target_fpir)


def _lost_templates(before: Subject, after: Subject) -> bool:
    """Tell whether a template is gone: that which is left may be of worse photos, or of somebody else."""
    if before.templates is after.templates:
        return False
    left = {each.template_id for each in after.templates}
    return any(each.template_id not in left for each in before.templates)


def _less_long(before: Subject, after: Subject) -> bool:
    begin, end = after.valid_from_ns, after.expire_time_ns
    later = begin is not None and (before.valid_from_ns is None or begin > before.valid_from_ns)
    return later or (end is not None and (before.expire_time_ns is None or end < before.expire_time_ns))
