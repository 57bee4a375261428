"""What is true in the story, kept apart from the server: who is on which list in force, what a gate must be told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gerbang_service.cli.demo.cast import Part


@dataclass(frozen=True, slots=True)
class ListFacts:
    """A watchlist of the story; words as the client takes them."""

    title: str
    direction: str
    action: str


LISTS: Final[Mapping[str, ListFacts]] = {
    "cegah": ListFacts("Cegah: exit ban", "departure", "defer_departure"),
    "tangkal": ListFacts("Tangkal: entry ban", "arrival", "refuse_entry"),
    "red": ListFacts("INTERPOL red notice", "both", "refer_to_officer"),
}

_GRAVITY: Final = ("silent_alert", "refer_to_officer", "defer_departure", "refuse_entry")


@dataclass(frozen=True, slots=True)
class Entry:
    """What the office enrols a part's player with."""

    watchlists: tuple[str, ...] = ()
    valid_from: datetime | None = None
    expire_time: datetime | None = None


def entries(now: datetime) -> dict[Part, Entry]:
    """Whom the office enrols, on which lists and for how long."""
    next_year, yesterday = now + timedelta(days=365), now - timedelta(days=1)
    return {
        Part.EXIT_BANNED: Entry(("cegah",), expire_time=next_year),
        Part.EXIT_BANNED_FOR_GOOD: Entry(("cegah",)),
        Part.EXIT_BAN_OVER: Entry(("cegah",), expire_time=yesterday),
        Part.EXIT_BAN_AHEAD: Entry(("cegah",), valid_from=now + timedelta(days=30), expire_time=next_year),
        Part.ENTRY_BANNED: Entry(("tangkal",), expire_time=next_year),
        Part.ENTRY_BAN_IN_ERROR: Entry(("tangkal",)),
        Part.ENTRY_BAN_LIFTED: Entry(("tangkal",), expire_time=next_year),
        Part.WANTED: Entry(("red",)),
        Part.WANTED_AND_BANNED: Entry(("cegah", "red")),
        Part.RESIDENT: Entry(),
    }


class Truth:
    """Who is on which list in force at this moment of the story."""

    def __init__(self, enrolled: Mapping[Part, Entry], now: datetime) -> None:
        self._in_force = {part: entry.watchlists for part, entry in enrolled.items() if _valid(entry, now)}

    def put(self, part: Part, entry: Entry) -> None:
        """Put the entry, whose validity has begun, in force against the player of this part."""
        self._in_force[part] = entry.watchlists

    def over(self, part: Part) -> None:
        """End whatever was in force against the player of this part."""
        self._in_force.pop(part, None)

    def lists(self, part: Part, direction: str) -> list[str]:
        """Return the lists in force that must be hit at a gate of this direction, sorted."""
        return sorted(name for name in self._in_force.get(part, ()) if LISTS[name].direction in (direction, "both"))


def gravest(lists: Iterable[str]) -> str:
    """Return the gravest action of lists of the story."""
    return max((LISTS[name].action for name in lists), key=_GRAVITY.index)


def _valid(entry: Entry, now: datetime) -> bool:
    begun = entry.valid_from is None or entry.valid_from <= now
    return begun and (entry.expire_time is None or now < entry.expire_time)
