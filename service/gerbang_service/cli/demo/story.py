"""The story: what the office, two gates and a counter ask on one day, and what they must be told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from gerbang import (
    CounterClient,
    EnrollResponse,
    GateClient,
    IdentifyResponse,
    NotFound,
    VerifyResponse,
    WatchlistClient,
)
from gerbang_service.cli.demo.cast import Cast, Part, subject_id
from gerbang_service.cli.demo.record import Question, Record, Verdict
from gerbang_service.cli.demo.spoiled import Spoiled
from gerbang_service.cli.demo.truth import LISTS, Entry, Truth, entries, gravest
from gerbang_service.cli.words import action_text

DONE = "done"
NO_HIT = "no hit"
MATCH = "match"
NO_MATCH = "no match"


@dataclass(frozen=True, slots=True)
class Places:
    """The clients of one airport, connected to the same server."""

    office: WatchlistClient
    arrival: GateClient
    departure: GateClient
    counter: CounterClient


class Story:
    """Plays chapter after chapter with the same cast; what happens goes into `record`. Not thread-safe."""

    def __init__(self, cast: Cast, record: Record, now: datetime) -> None:
        self._cast = cast
        self._record = record
        self._now = now
        self._entries = entries(now)
        self._truth = Truth(self._entries, now)

    def enrolment(self, places: Places) -> None:
        """Let the office make its lists and enrol people."""
        for name, facts in LISTS.items():
            call = partial(
                places.office.create_watchlist,
                name,
                title=facts.title,
                direction=facts.direction,
                action=facts.action,
            )
            question = Question("CreateWatchlist", "office", name, facts.title, (DONE,))
            self._record.ask(question, call, lambda _: Verdict(DONE))
        for part, entry in self._entries.items():
            self._enrol(places, part, entry)

    def travellers(self, places: Places) -> None:
        """Let everybody arrive and depart."""
        for part in Part:
            self._passes(places, part, "arrival")
            self._passes(places, part, "departure")

    def counter(self, places: Places) -> None:
        """Look at a passport that its holder and an impostor show, and recognise a resident by id."""
        for part, right in ((Part.PASSPORT_HOLDER, MATCH), (Part.IMPOSTOR, NO_MATCH)):
            passport = self._cast[Part.PASSPORT_HOLDER].known_photo
            call = partial(places.counter.verify, self._cast[part].live, reference=passport)
            self._record.ask(self._question("Verify", "counter", part, right), call, _verified)
        self._verifies(places, Part.RESIDENT, Part.RESIDENT, MATCH)
        self._verifies(places, Part.IMPOSTOR, Part.RESIDENT, NO_MATCH)

    def changes(self, places: Places) -> None:
        """Let the office delete one, lift a ban, ban another: the gates know at once."""
        part = Part.ENTRY_BAN_IN_ERROR
        self._truth.over(part)
        call = partial(places.office.delete_subject, subject_id(part))
        self._record.ask(self._question("DeleteSubject", "office", part, DONE), call, lambda _: Verdict(DONE))
        self._passes(places, part, "arrival")
        self._verifies(places, part, part, "SUBJECT_NOT_FOUND")

        part = Part.ENTRY_BAN_LIFTED
        self._truth.over(part)
        # A minute ago by the client's clock, which need not be the server's.
        lift = partial(places.office.update_subject, subject_id(part), expire_time=self._now - timedelta(minutes=1))
        self._record.ask(self._question("UpdateSubject", "office", part, DONE), lift, lambda _: Verdict(DONE))
        self._passes(places, part, "arrival")

        part = Part.PASSPORT_HOLDER
        entry = Entry(("cegah",), expire_time=self._now + timedelta(days=90))
        self._enrol(places, part, entry)
        self._truth.put(part, entry)
        self._passes(places, part, "departure")

    def unusable(self, places: Places, photos: tuple[Spoiled, ...]) -> None:
        """Send photos that can't be compared: they are refused with the reason."""
        for photo in photos:
            if photo.at_enrolment:
                enrol = partial(places.office.enroll, "S-2000", [photo.content], watchlists=["cegah"])
                question = Question("Enroll", "office", "-", photo.what, photo.reasons)
                self._record.ask(question, enrol, _enrolled)
            else:
                identify = partial(places.arrival.identify, photo.content, direction="arrival")
                question = Question("Identify", "arrival", "-", photo.what, photo.reasons)
                self._record.ask(question, identify, lambda answer: Verdict(_found(answer, "")))

    def _question(self, call: str, place: str, part: Part, right: str) -> Question:
        return Question(call, place, self._cast[part].name, part.value, (right,))

    def _enrol(self, places: Places, part: Part, entry: Entry) -> None:
        call = partial(
            places.office.enroll,
            subject_id(part),
            [self._cast[part].known_photo],
            watchlists=entry.watchlists,
            valid_from=entry.valid_from,
            expire_time=entry.expire_time,
            labels={"case": f"K-{subject_id(part)}"},
        )
        self._record.ask(self._question("Enroll", "office", part, DONE), call, _enrolled)

    def _passes(self, places: Places, part: Part, direction: str) -> None:
        """Let the player of `part` walk through a gate."""
        gate = places.arrival if direction == "arrival" else places.departure
        lists = self._truth.lists(part, direction)
        right = f"{gravest(lists).replace('_', ' ')}: {', '.join(lists)}" if lists else NO_HIT
        live = self._cast[part].live

        def judge(answer: IdentifyResponse) -> Verdict:
            if answer.candidates:
                return Verdict(_found(answer, subject_id(part)), answer.candidates[0].similarity)
            if not lists:
                return Verdict(NO_HIT)
            return Verdict(NO_HIT, _missed_by(places, live, subject_id(part)))

        call = partial(gate.identify, live, direction=direction)
        self._record.ask(self._question("Identify", direction, part, right), call, judge)

    def _verifies(self, places: Places, part: Part, claimed: Part, right: str) -> None:
        """Let the player of `part` claim at the counter to be the enrolled player of `claimed`."""
        call = partial(places.counter.verify, self._cast[part].live, subject_id=subject_id(claimed))
        self._record.ask(self._question("Verify", "counter", part, right), call, _verified)


def _missed_by(places: Places, live: bytes, missed: str) -> float | None:
    """Ask how similar the one is whom a gate missed; None when the server does not know them. Not part of the story."""
    try:
        return places.counter.verify(live, subject_id=missed).similarity
    except NotFound:
        return None


def _enrolled(answer: EnrollResponse) -> Verdict:
    if answer.duplicates:
        other = answer.duplicates[0]
        return Verdict(f"has the face of {other.subject_id}", other.similarity)
    return Verdict(DONE)


def _verified(answer: VerifyResponse) -> Verdict:
    return Verdict(MATCH if answer.match else NO_MATCH, answer.similarity)


def _found(answer: IdentifyResponse, expected_id: str) -> str:
    """Put an answer in words: action and lists; and whom it took the traveller for, where that is not who they are."""
    if not answer.candidates:
        return NO_HIT
    best = answer.candidates[0]
    words = f"{action_text(best.action)}: {', '.join(best.watchlists)}"
    found = [candidate.subject_id for candidate in answer.candidates]
    return words if found == [expected_id] else f"{words}, as {' and '.join(found)}"
