"""What finds candidates, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GeneratorProgress:
    """How far a generator follows the gallery: live templates that it holds, live ones that it does not hold yet.

    `tombstones`: deleted templates that it still holds. `failed`: it proposes nothing any more. `failures`: how often
    it has failed to propose, or to follow, since the start.
    """

    name: str
    indexed: int
    pending: int
    tombstones: int
    failed: bool = False
    failures: int = 0
