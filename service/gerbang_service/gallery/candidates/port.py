"""What proposes candidates: the port that every generator implements. All pass `tests/gallery/generator_contract.py`.

A generator is told of rows of the table before anybody can find them, and of rows that are gone after nobody can. What
it proposes is a hint: the judge scores it exactly, and drops what does not count. Who it does not propose may be
missed, so it says how much it does not hold yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Among(Protocol):
    """The rows that count in a search: a generator need propose no others."""

    @property
    def count(self) -> int:
        """How many."""

    @property
    def bits(self) -> NDArray[np.uint8] | None:
        """Bit r % 8 of byte r // 8 is set for a row r that counts; None where `count` is small."""


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """Faces to find. `vectors`: float32 (probes, dimension), unit length; `rotated`: float32 (probes, directions)."""

    vectors: NDArray[np.float32]
    rotated: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Added:
    """Rows that are new.

    `rows`: int64 (n,); `template_ids`: int64 (n,); `vectors`, `rotated`: as in Probes, (n, ...).
    """

    rows: NDArray[np.int64]
    template_ids: NDArray[np.int64]
    vectors: NDArray[np.float32]
    rotated: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """Rows that may be similar. `rows`: int64 (probes, at most what was asked for and a few more), -1 for none.

    `behind`: templates that it could not propose since it does not hold them yet. `failed`: it holds no new ones any
    more.
    """

    rows: NDArray[np.int64]
    behind: int = 0
    failed: bool = False


@dataclass(frozen=True, slots=True)
class GeneratorProgress:
    """How far a generator follows: live templates that it holds, that are pending, deleted ones that it still holds.

    `failed`: it follows no more, until the server is started again. `failures`: proposals that it failed to make.
    """

    name: str
    indexed: int
    pending: int = 0
    tombstones: int = 0
    failed: bool = False
    failures: int = 0


class Generator(Protocol):
    """Proposes candidates. `added` and `removed` are called by one thread at a time, `propose` by any number beside it.

    A search is never silently without a generator of its plan. One that is `required` fails the search when it raises;
    of another the answer says that it failed, and it is counted. It must neither block for long nor call back.
    """

    @property
    def name(self) -> str:
        """Its name in answers, metrics and settings."""

    @property
    def required(self) -> bool:
        """Whether there is no answer without it."""

    def added(self, new: Added) -> None:
        """Take rows in, now or later. Later: they count as `behind` until then."""

    def removed(self, rows: NDArray[np.int64]) -> None:
        """Erase rows: nothing of a vector may stay where it could be read."""

    def propose(self, probes: Probes, count: int, among: Among) -> Proposal:
        """Return about `count` rows for each probe, of those `among`; more rows, and other ones, do no harm."""

    def progress(self) -> GeneratorProgress:
        """Tell how far it follows. May be called by any thread."""

    def start(self) -> None:
        """Start what it does in threads of its own."""

    def stop(self) -> None:
        """End that; what is pending stays so."""
