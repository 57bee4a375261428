"""The watchlist office: enrols, changes and deletes people all day, one change of a person at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from benchmarks.airport.ledger import Ledger
from benchmarks.airport.people import NOT_ENROLLED, Person, State, faces, photographed
from benchmarks.airport.posts import Rules

from gerbang import AsyncWatchlistClient, EnrollResponse, GerbangError, enroll_request, error_of
from gerbang_service.cli.demo.truth import LISTS

# Another photograph of the same face, for a second template.
_SECOND_COSINE = 0.85
_MOST_TEMPLATES = 4
# An entry that ends during the day does so after so many seconds.
_ENDS_AFTER_S = (1.0, 6.0)
_RECENT = 20
# What an office does, and how often of a hundred.
_WORK = {"enrol": 35, "enrol to expire": 15, "delete": 20, "change lists": 15, "add template": 15}


@dataclass
class Population:
    """Everybody whom the office ever enrolled.

    recent: whose entries changed or ended lately, the latest last. free: those whom nobody is at work on.
    """

    people: list[Person] = field(default_factory=list)
    recent: deque[Person] = field(default_factory=lambda: deque(maxlen=_RECENT))
    free: list[Person] = field(default_factory=list)
    revision: int = 0


class Office:
    """One desk or several; belongs to one event loop."""

    def __init__(self, client: AsyncWatchlistClient, rules: Rules, ledger: Ledger, random: np.random.Generator) -> None:
        self.population = Population()
        self._client = client
        self._rules = rules
        self._ledger = ledger
        self._random = random

    async def open(self, people: int) -> None:
        """Make the watchlists and enrol the first people over one stream. Raises GerbangError when that fails."""
        for name, facts in LISTS.items():
            await self._client.create_watchlist(
                self._rules.list_id(name), title=facts.title, direction=facts.direction, action=facts.action
            )
        newcomers = [(self._person(), self._lists()) for _ in range(people)]
        requests = [
            enroll_request(each.subject_id, [each.face], watchlists=self._ids(lists)) for each, lists in newcomers
        ]
        answers = self._client.enroll_stream(requests, timeout=600.0)
        for person, lists in newcomers:
            change = person.begin(time.time(), State(lists, (person.face,)))
            answer: EnrollResponse = await anext(answers)
            if answer.HasField("error"):
                raise error_of(answer) or RuntimeError("an item failed without a reason")
            self._done(person, answer.revision)
            change.acknowledged = time.time()
            self.population.free.append(person)

    async def work(self, pause_s: float, end: float) -> None:
        """Do one thing after the other until `end`, on time.monotonic's clock."""
        kinds, weights = list(_WORK), np.array(list(_WORK.values())) / sum(_WORK.values())
        while time.monotonic() < end:
            kind = str(self._random.choice(kinds, p=weights))
            await self._one(kind)
            await asyncio.sleep(pause_s)

    async def _one(self, kind: str) -> None:
        if kind == "enrol":
            person, lists = self._person(), self._lists()
            call = self._client.enroll(person.subject_id, [person.face], watchlists=self._ids(lists))
            await self._change(kind, person, State(lists, (person.face,)), call)
            return
        if kind == "enrol to expire":
            await self._enrol_to_expire(kind)
            return
        if (known := self._take()) is None:
            return
        if kind == "delete":
            await self._change(kind, known, NOT_ENROLLED, self._client.delete_subject(known.subject_id), keep=False)
        elif kind == "change lists":
            lists = self._lists()
            relisting = self._client.update_subject(known.subject_id, watchlists=self._ids(lists))
            await self._change(kind, known, replace(known.state, lists=lists), relisting)
        elif len(known.state.templates) < _MOST_TEMPLATES:
            second = photographed(known.face, _SECOND_COSINE, self._random)
            call = self._client.enroll(known.subject_id, [second], on_existing="add")
            await self._change(kind, known, State(known.state.lists, (*known.state.templates, second)), call)
        else:
            self.population.free.append(known)

    async def _enrol_to_expire(self, kind: str) -> None:
        person, lists = self._person(), self._lists()
        # Whole microseconds, which is what a Timestamp made of a datetime can say.
        expires = round(time.time() + self._random.uniform(*_ENDS_AFTER_S), 6)
        call = self._client.enroll(
            person.subject_id,
            [person.face],
            watchlists=self._ids(lists),
            expire_time=datetime.fromtimestamp(expires, UTC),
        )
        if await self._change(kind, person, State(lists, (person.face,)), call, keep=False):
            person.expire(expires)
            asyncio.get_running_loop().call_later(expires - time.time(), self.population.recent.append, person)

    async def _change(
        self, kind: str, person: Person, state: State, call: Awaitable[Any], *, keep: bool = True
    ) -> bool:
        change = person.begin(time.time(), state)
        called = await self._ledger.timed(kind, call)
        if isinstance(called.answer, GerbangError):
            self._ledger.failed(kind, called.answer)
            return False
        self._done(person, called.answer.revision)
        change.acknowledged = called.ended
        if keep:
            self.population.free.append(person)
        return True

    def _done(self, person: Person, revision: int) -> None:
        population = self.population
        population.revision = max(population.revision, revision)
        if person.state is not NOT_ENROLLED and len(person.changes) == 1:
            population.people.append(person)
        population.recent.append(person)

    def _take(self) -> Person | None:
        """Return somebody whom nobody is at work on, for as long as they are not put back."""
        free = self.population.free
        if not free:
            return None
        i = int(self._random.integers(len(free)))
        free[i], free[-1] = free[-1], free[i]
        return free.pop()

    def _person(self) -> Person:
        number = int(self._random.integers(1 << 60))
        return Person(f"day{self._rules.suffix}-{number:015x}", faces(1, self._random)[0])

    def _lists(self) -> tuple[str, ...]:
        """Return one list, at times two, at times none: a plain reference for counters."""
        count = int(self._random.choice(3, p=(0.1, 0.7, 0.2)))
        return tuple(sorted(str(each) for each in self._random.choice(list(LISTS), count, replace=False)))

    def _ids(self, lists: Sequence[str]) -> list[str]:
        return [self._rules.list_id(name) for name in lists]
