"""Watchlists: whom a list concerns, and what a gate does on a hit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum


class Direction(Enum):
    """Direction of travel that a watchlist concerns, or that a search is about."""

    ARRIVAL = "arrival"
    DEPARTURE = "departure"
    BOTH = "both"

    def concerns(self, travel: Direction) -> bool:
        """Tell whether a list of this direction is searched for `travel` (BOTH: any direction)."""
        return self is travel or Direction.BOTH in (self, travel)


class Action(IntEnum):
    """What a gate does on a hit; a larger value is graver."""

    SILENT_ALERT = 1
    REFER_TO_OFFICER = 2
    DEFER_DEPARTURE = 3
    REFUSE_ENTRY = 4


@dataclass(frozen=True, slots=True)
class Watchlist:
    """A named set of subjects. Times: ns since the epoch.

    `threshold`: cosine, -1 to 1. `target_fpir`: the share of strangers that it may stop, above 0 and at most 0.5, which
    its threshold follows. One of them at most; neither: the server's.
    `two_person_removal`: what makes it stop fewer people needs a second person.
    `revision`: the gallery's at which the list was last changed; its subjects coming and going is no change of it.
    """

    watchlist_id: str
    title: str = ""
    direction: Direction = Direction.BOTH
    action: Action = Action.REFER_TO_OFFICER
    threshold: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    create_time_ns: int = 0
    update_time_ns: int = 0
    revision: int = 0
    target_fpir: float | None = None
    two_person_removal: bool = False


@dataclass(frozen=True, slots=True)
class CountedWatchlist:
    """A watchlist, how many subjects are on it, and how many proposals by which it would be weakened wait."""

    watchlist: Watchlist
    subject_count: int
    proposals: int = 0
