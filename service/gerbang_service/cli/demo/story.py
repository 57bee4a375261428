"""The story: what the office, two gates and a counter ask on one day, and what they must be told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gerbang import (
    CounterClient,
    EnrollResponse,
    GateClient,
    IdentifyResponse,
    VerifyResponse,
    WatchlistClient,
)
from gerbang.v1.watchlist_pb2 import Action
from gerbang_service.cli.demo.cast import TWO_PHOTOS, Cast, Part, Player, subject_id
from gerbang_service.cli.demo.record import Record, Verdict
from gerbang_service.cli.demo.spoiled import Spoiled
from gerbang_service.cli.demo.truth import LISTS, Truth, entries, gravest

DONE = "done"
NO_HIT = "no hit"


@dataclass(frozen=True, slots=True)
class Places:
    """The clients of one airport, connected to the same server."""

    office: WatchlistClient
    arrival: GateClient
    departure: GateClient
    counter: CounterClient


class Story:
    """Plays the chapters in order with the same cast; what happens goes into `record`."""

    def __init__(self, cast: Cast, record: Record, now: datetime) -> None:
        self._cast = cast
        self._record = record
        self._now = now
        self._entries = entries(now)
        self._truth = Truth(self._entries, now)

    def enrolment(self, places: Places) -> None:
        """The office makes its lists and enrols people."""
        for name, facts in LISTS.items():
            self._record.ask(
                "CreateWatchlist",
                "office",
                (name, facts.title),
                lambda name=name, facts=facts: places.office.create_watchlist(  # type: ignore[misc]
                    name, title=facts.title, direction=facts.direction, action=facts.action
                ),
                lambda _: Verdict(DONE),
                [DONE],
            )
        for part, entry in self._entries.items():
            self._record.ask(
                "Enroll",
                "office",
                self._who(part),
                lambda part=part, entry=entry: places.office.enroll(  # type: ignore[misc]
                    subject_id(part),
                    [self._cast[part].known_photo],
                    watchlists=entry.watchlists,
                    valid_from=entry.valid_from,
                    expire_time=entry.expire_time,
                    labels={"case": f"K-{subject_id(part)}"},
                ),
                _enrolled,
                [DONE],
            )

    def travellers(self, places: Places) -> None:
        """Everybody arrives and departs."""
        for part in Part:
            self.arrives(places, part)
            self.departs(places, part)
