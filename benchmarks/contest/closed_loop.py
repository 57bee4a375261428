"""A closed loop over several clients at once, counting what was answered and missed. Runs in any environment."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = NDArray[np.int64]


class Session(Protocol):
    """A client's own connection."""

    def answer(self, probes: Vectors) -> Sequence[Sequence[int]]:
        """Return the rows found for each probe."""

    def close(self) -> None:
        """Close the connection."""


@dataclass(slots=True)
class Measured:
    """What a closed loop counted. answered: probes answered within the window of `seconds`; missed: of `checked`."""

    answered: int = 0
    seconds: float = 0.0
    missed: int = 0
    checked: int = 0

    @property
    def per_s(self) -> float:
        """Probes answered a second."""
        return self.answered / self.seconds if self.seconds else 0.0

    def add(self, other: Measured) -> None:
        """Count another loop as well."""
        self.answered += other.answered
        self.seconds += other.seconds
        self.missed += other.missed
        self.checked += other.checked


@dataclass(slots=True)
class Loop:
    """Probes, float32 (n, dimension), and their mates' rows, int64 (n,), in turn over all runs."""

    probes: Vectors
    mates: Rows
    _turn: itertools.count[int] = field(default_factory=itertools.count)

    def run(self, open_session: Callable[[], Session], clients: int, batch: int, window: Window) -> Measured:
        """Keep `clients` calls of `batch` probes each in flight until the window ends; every answer is checked.

        Raises what a client raised.
        """
        sessions = [open_session() for _ in range(clients)]
        begin = time.perf_counter() + window.warm_up_s
        counts = [Measured() for _ in sessions]
        errors: list[Exception] = []

        def client(session: Session, count: Measured) -> None:
            try:
                self._ask(session, count, batch, begin, begin + window.seconds)
            except Exception as error:  # noqa: BLE001 - raised again below, in the caller's thread
                errors.append(error)

        threads = [threading.Thread(target=client, args=each) for each in zip(sessions, counts, strict=True)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        for session in sessions:
            session.close()
        if errors:
            raise errors[0]
        total = Measured()
        for count in counts:
            total.add(count)
        total.seconds = window.seconds
        return total

    def _ask(self, session: Session, count: Measured, batch: int, begin: float, end: float) -> None:
        most = len(self.mates)
        while time.perf_counter() < end:
            chosen = np.arange(batch) + next(self._turn) * batch
            chosen %= most
            found = session.answer(self.probes[chosen])
            if begin <= time.perf_counter() < end:
                count.answered += batch
            count.checked += batch
            count.missed += missed(found, self.mates[chosen])


@dataclass(frozen=True, slots=True)
class Window:
    """The counted seconds, and those that precede them."""

    seconds: float
    warm_up_s: float


def missed(found: Sequence[Sequence[int]], mates: Rows) -> int:
    """Return how many mates are not among what was found for their probes."""
    return sum(int(mate) not in rows for rows, mate in zip(found, mates, strict=True))


def as_json(measured: Measured) -> dict[str, Any]:
    """Return the counts as a plain dictionary."""
    return {name: getattr(measured, name) for name in ("answered", "seconds", "missed", "checked")}
