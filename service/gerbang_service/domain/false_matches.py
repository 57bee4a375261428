"""False match rates of a recogniser, as far as they were measured, and what they come to among many.

FMR: of two photos of different people, the share whose similarity reaches a cosine. Who is on no list is compared with
each of the N templates that are searched, and is a hit when one of them matches; were the comparisons independent, the
share of such strangers would be FPIR = 1 - (1 - FMR)^N, which is about N times FMR where that is small.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

# Four steps of the number of templates to a doubling, from few to more than there will be.
_STEPS_A_DOUBLING: Final = 4
_DOUBLINGS: Final = 36
STEPS: Final[Sequence[int]] = [
    math.ceil(16 * 2 ** (each / _STEPS_A_DOUBLING)) for each in range(_DOUBLINGS * _STEPS_A_DOUBLING + 1)
]


def step_of(templates: int) -> int:
    """Return the number of templates that a threshold is worked out for: the next of STEPS, 16 at least.

    So it moves seldom while a list grows, and depends on nothing but the number: whoever works it out, whenever, comes
    to the same.
    """
    return STEPS[min(bisect_left(STEPS, templates), len(STEPS) - 1)]


def fpir_of(fmr: float, templates: int) -> float:
    """Return the share of strangers, 0 to 1, that are a hit among so many templates: see the law above."""
    return 1.0 if fmr >= 1 else -math.expm1(templates * math.log1p(-fmr))


def fmr_for(target_fpir: float, templates: int) -> float:
    """Return the FMR at which a share of strangers, below 1, are a hit among so many templates, at least 1."""
    return -math.expm1(math.log1p(-target_fpir) / templates)


@dataclass(frozen=True, slots=True)
class Point:
    """A measurement: at similarity `cosine` the false match rate is `fmr`, 0 to 1. `source`: whose, of what."""

    fmr: float
    cosine: float
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class FalseMatchRates:
    """What is known of a recogniser. `points`: at least one, by falling FMR and rising cosine.

    Between two points the logarithm of the FMR is taken to be linear. Beyond either end nothing is known.
    """

    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        """Refuse points that are none: ValueError."""
        if not self.points or not all(0 < each.fmr < 1 for each in self.points):
            raise ValueError("false match rates are points of a rate between 0 and 1")
        if any(one.fmr <= other.fmr or one.cosine >= other.cosine for one, other in pairwise(self.points)):
            raise ValueError("a lower false match rate is at a higher cosine")

    @property
    def source(self) -> str:
        """Where the points come from, for people."""
        return "; ".join(dict.fromkeys(each.source for each in self.points))

    @property
    def lowest(self) -> float:
        """The lowest rate that is known."""
        return self.points[-1].fmr

    def cosine_for(self, fmr: float) -> float:
        """Return the cosine at which the FMR is `fmr`; that of the nearer end for one beyond it."""
        for one, other in pairwise(self.points):
            if other.fmr <= fmr < one.fmr:
                share = math.log(one.fmr / fmr) / math.log(one.fmr / other.fmr)
                return one.cosine + share * (other.cosine - one.cosine)
        return self.points[0].cosine if fmr >= self.points[0].fmr else self.points[-1].cosine

    def fmr_at(self, cosine: float) -> float | None:
        """Return the FMR at a cosine, or None beyond the points."""
        points = self.points
        if not points[0].cosine <= cosine <= points[-1].cosine:
            return None
        after = bisect_left(points, cosine, key=lambda each: each.cosine)
        other = points[after]
        if other.cosine == cosine:
            return other.fmr
        one = points[after - 1]
        share = (cosine - one.cosine) / (other.cosine - one.cosine)
        return math.exp(math.log(one.fmr) + share * math.log(other.fmr / one.fmr))
