"""People with face-like templates, and what is true of them at any moment while others change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from benchmarks.galleries import DIMENSION
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float32]

_SPREAD = (np.arange(1, DIMENSION + 1) ** -0.25).astype(np.float32)


@dataclass(frozen=True, slots=True)
class State:
    """What is stored of a person: lists in force, and templates, unit vectors; without templates: not enrolled."""

    lists: tuple[str, ...] = ()
    templates: tuple[Vector, ...] = ()

    def similarity(self, probe: Vector) -> float:
        """Return the cosine of a unit probe and the most similar template; there must be one."""
        return max(float(probe.astype(np.float64) @ each.astype(np.float64)) for each in self.templates)


NOT_ENROLLED = State()


@dataclass(slots=True)
class Change:
    """From `begun` on the state may be in force, from `acknowledged` on it must be. Seconds since the epoch."""

    begun: float
    state: State
    acknowledged: float = float("inf")


@dataclass(eq=False, slots=True)
class Person:
    """Somebody with a face. One change at a time; a change that failed leaves both states possible for ever."""

    subject_id: str
    face: Vector
    changes: list[Change] = field(default_factory=list)

    @property
    def state(self) -> State:
        """What the latest change made of it."""
        return self.changes[-1].state if self.changes else NOT_ENROLLED

    def begin(self, now: float, state: State) -> Change:
        """Note that a change begins; set its `acknowledged` when it is."""
        self.changes.append(Change(now, state))
        return self.changes[-1]

    def expire(self, when: float) -> None:
        """Note when the entry ends: from then on it is on no list."""
        self.changes.append(Change(when, replace(self.state, lists=()), when))

    def possible(self, started: float, ended: float, lag: float) -> list[State]:
        """Return the states that a call between two moments may have seen, on a server at most `lag` seconds behind."""
        settled = NOT_ENROLLED
        underway: list[State] = []
        for change in self.changes:
            if change.acknowledged + lag <= started:
                settled = change.state
                underway.clear()
            elif change.begun <= ended:
                underway.append(change.state)
        return [settled, *underway]


def faces(count: int, random: np.random.Generator) -> Sequence[Vector]:
    """Return face-like unit vectors (docs/search.md), unlike each other."""
    return list(_unit(random.standard_normal((count, DIMENSION), np.float32) * _SPREAD))


def photographed(face: Vector, cosine: float, random: np.random.Generator) -> Vector:
    """Return another vector of the same face, at a cosine to it."""
    noise = random.standard_normal(DIMENSION, np.float32) * _SPREAD
    noise -= (noise @ face) * face
    return _unit(np.float32(cosine) * face + np.float32(np.sqrt(1 - cosine**2)) * _unit(noise))


def _unit(rows: Vector) -> Vector:
    unit: Vector = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return unit
