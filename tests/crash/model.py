"""What a server must hold: what it acknowledged, and, of changes that it was killed in, either side of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist


@dataclass(frozen=True, slots=True)
class Person:
    """A subject: the number that its templates are made of, how many they are, its lists, its labels' version."""

    seed: int
    templates: int
    lists: tuple[str, ...]
    version: str

    @classmethod
    def of(cls, stored: Subject) -> Person:
        """Read what a server says of a subject."""
        seed, _, version = stored.labels["state"].partition("/")
        return cls(int(seed), len(stored.templates), tuple(stored.watchlists), version)

    @property
    def labels(self) -> dict[str, str]:
        """The labels by which it is recognised."""
        return {"state": f"{self.seed}/{self.version}"}


State = Person | str | None  # of a watchlist: its title; None: not there


def left_behind(before: State, now: State) -> int | None:
    """Return the number of the templates that a change took away, if it did."""
    if not isinstance(before, Person) or (isinstance(now, Person) and now.seed == before.seed):
        return None
    return before.seed


class Wrong(Exception):
    """The server broke a promise; the message says which."""


@dataclass
class Truth:
    """States by name. `allowed`: the acknowledged one, and after it those that an unanswered change may have led to.

    `gone`: numbers of templates that were deleted or replaced, in that order. `revisions`: whose change each revision
    was acknowledged for; `replayed`: those that only the repeat of a request was answered with.

    Each name belongs to one thread, which has one change of it under way at most; the rest is for all.
    """

    allowed: dict[str, list[State]] = field(default_factory=dict)
    gone: list[int] = field(default_factory=list)
    revisions: dict[int, str] = field(default_factory=dict)
    replayed: set[int] = field(default_factory=set)
    revision: int = 0
    unanswered: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def settled(self, prefix: str) -> dict[str, State]:
        """Return the names of a thread with their states, where that is certain."""
        with self._lock:
            mine = [(name, states) for name, states in self.allowed.items() if name.startswith(prefix)]
        return {name: states[0] for name, states in mine if len(states) == 1}

    def attempt(self, name: str, state: State) -> None:
        """Note that a change to `state` is being sent."""
        with self._lock:
            self.allowed.setdefault(name, [None]).append(state)

    def acknowledge(self, name: str, revision: int, *, replayed: bool = False) -> tuple[State, State]:
        """Note that the last change sent of a name was done, at a revision; return what was before it, and is now.

        `replayed`: this answers a repeat, with the revision of the first time. Raises Wrong for a revision that was
        acknowledged before: no request is sent again once it was answered.
        """
        with self._lock:
            if revision in self.revisions:
                raise Wrong(f"revision {revision} is that of {name} and of {self.revisions[revision]}")
            self.revisions[revision] = name
            if replayed:
                self.replayed.add(revision)
            before, state = self.allowed[name][0], self.allowed[name][-1]
            self._settle(name, state)
            self.revision = max(self.revision, revision)
            return before, state

    def refuse(self, name: str) -> None:
        """Note that the last change sent of a name was not done, for sure."""
        with self._lock:
            self.allowed[name].pop()

    def seen(self, revision: int) -> None:
        """Note a revision that an answer was from."""
        with self._lock:
            self.revision = max(self.revision, revision)

    def compare(self, subjects: Iterable[Subject], watchlists: Iterable[Watchlist], revision: int) -> None:
        """Compare with what a server holds, and settle what was not certain. Raises Wrong."""
        stored: dict[str, State] = {each.subject_id: Person.of(each) for each in subjects}
        stored |= {each.watchlist_id: each.title for each in watchlists}
        for name in sorted(set(stored) | set(self.allowed)):
            state, allowed = stored.get(name), self.allowed.get(name, [None])
            if state not in allowed:
                raise Wrong(f"{name} is {state}, and must be one of {allowed}")
            self.unanswered += len(allowed) > 1
            self._settle(name, state)
        if revision < self.revision:
            raise Wrong(f"revision {revision} is before {self.revision}, which was answered")
        self.revision = revision

    def _settle(self, name: str, state: State) -> None:
        before = self.allowed.get(name, [None])[0]
        if (seed := left_behind(before, state)) is not None:
            self.gone.append(seed)
        self.allowed[name] = [state]

    @property
    def acknowledged(self) -> int:
        """How many changes were acknowledged."""
        return len(self.revisions)

    @property
    def people(self) -> Mapping[str, Person]:
        """Those who are there for certain."""
        return {name: state for name, state in self.settled("").items() if isinstance(state, Person)}
