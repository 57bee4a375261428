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
    """A named set of subjects. `threshold`: cosine, -1 to 1; None: the server's. Times: ns since the epoch.

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


@dataclass(frozen=True, slots=True)
class CountedWatchlist:
    """A watchlist, and how many subjects are on it."""

    watchlist: Watchlist
    subject_count: int
