"""What is asked of the gallery, and what it answers.

A question travels as one type from where it is asked to where it is answered. It says what was asked, in the caller's
words; names of lists, thresholds, validity and the moment are resolved where the search is made, so that they are of
the same state as the templates that are searched.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.decision import Candidate, Decision, decision_of
from gerbang_service.domain.faces import CaptureChain, DetectedFace
from gerbang_service.domain.samples import Sample
from gerbang_service.domain.thresholds import Rule, Threshold
from gerbang_service.domain.watchlists import Direction


class Plan(Enum):
    """How candidates are found. GRAPH alone is for measuring only: it misses people, and no caller may choose it."""

    BOTH = "both"
    SWEEP = "sweep"
    EXACT = "exact"
    GRAPH = "graph"


CHOOSABLE: Final = (Plan.BOTH, Plan.SWEEP, Plan.EXACT)
"""The plans that settings and requests may choose."""


@dataclass(frozen=True, slots=True)
class OnLists:
    """Look among those who are on a watchlist and in force.

    `rule`: decides for a list without a threshold of its own. `names`: the lists, empty for all; of these, those that
    concern `direction` are searched. `threshold`: a cosine, the caller's, in place of the lists' own, None for those.
    `never_below_own`: on a list whose own threshold is higher than the caller's, its own is in force.
    """

    rule: Rule
    names: tuple[str, ...] = ()
    direction: Direction = Direction.BOTH
    threshold: float | None = None
    never_below_own: bool = False


@dataclass(frozen=True, slots=True)
class Everybody:
    """Look among all who are enrolled, on a list or not, in force or not.

    `rule`: decides, by the number of all templates. `seen_by`: only subjects on one of these lists, None for all.
    """

    rule: Rule
    seen_by: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A 1:N search. `probe`: float32 (dimension,), unit length; `limit`: candidates wanted at most, at least 1.

    `moment_ns`: the time at which validity is looked at, ns since the epoch; None: now, as the search begins.
    `answer_by`: when the caller stops waiting, on the clock of time.monotonic; looked at before each costly step.
    `besides`: a subject who is left out; empty for nobody.
    """

    probe: NDArray[np.float32]
    among: OnLists | Everybody
    limit: int
    plan: Plan
    moment_ns: int | None = None
    answer_by: float = math.inf
    besides: str = ""


@dataclass(frozen=True, slots=True)
class Lack:
    """A generator of the plan that did not propose from all templates. `behind`: templates that it does not hold yet.

    `failed`: it proposed nobody since it raised, or nobody who was enrolled after its following of the gallery ended.
    """

    generator: str
    behind: int
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question, of one state: that of `revision`, with `size` templates, at `moment_ns`.

    `candidates`: best first, ties by subject_id. `basis`: the threshold of lists without one of their own. `lacks`:
    empty when all generators of the plan proposed from all templates. `top_similarity`: the exact cosine of the most
    similar of all proposals that the question may see, candidate or not: with plan EXACT of all who are on the lists
    and in force. None where there is nobody, and of a question about Everybody.
    """

    candidates: list[Candidate]
    basis: Threshold
    plan: Plan
    revision: int
    size: int
    moment_ns: int
    lacks: tuple[Lack, ...] = ()
    top_similarity: float | None = None

    @property
    def threshold(self) -> float:
        """A cosine, -1 to 1."""
        return self.basis.cosine


@dataclass(frozen=True, slots=True)
class Search1N:
    """A search as a caller asks for it, the probe still a sample. None: the server's default.

    `watchlists`: as OnLists.names, within what the caller is bound to; `never_below_own`: as there.
    """

    probe: Sample
    watchlists: tuple[str, ...]
    direction: Direction
    max_candidates: int
    threshold: float | None
    plan: Plan | None
    min_revision: int
    never_below_own: bool = False


@dataclass(frozen=True, slots=True)
class Identification:
    """The outcome of a 1:N search. `probe_face` is None for a probe that came as a template.

    `search_id`: a random UUID. `fmr_at_similarity`: the false match rate at the answer's `top_similarity`, None where
    it is not known or there is none.
    """

    answer: Answer
    probe_face: DetectedFace | None
    search_id: str
    fmr_at_similarity: float | None

    @property
    def decision(self) -> Decision:
        """What the search came to."""
        return decision_of(self.answer.candidates)


@dataclass(frozen=True, slots=True)
class Comparison1:
    """A probe compared with an enrolled subject: its most similar template, at one revision."""

    similarity: float
    template_id: int
    revision: int


@dataclass(frozen=True, slots=True)
class Verify1:
    """A 1:1 comparison as a caller asks for it. `reference`: an enrolled subject's id, or a sample.

    `seen_by`: lists that the caller is bound to, None for all; a subject on none of them does not exist for it.
    """

    probe: Sample
    reference: Sample | str
    threshold: float | None
    min_revision: int = 0
    seen_by: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of a 1:1 comparison. `template_id`, `revision` are None when the reference was a sample.

    `fmr`: the share of pairs of different people that are as similar, None where that is not known.
    """

    match: bool
    similarity: float
    basis: Threshold
    template_id: int | None
    probe_face: DetectedFace | None
    reference_face: DetectedFace | None
    revision: int | None = None
    fmr: float | None = None

    @property
    def threshold(self) -> float:
        """A cosine, -1 to 1."""
        return self.basis.cosine


@dataclass(frozen=True, slots=True)
class Features:
    """What a sample was reduced to. `face`, and the `chain` that it came by, are None for one that was a template."""

    vector: NDArray[np.float32]
    face: DetectedFace | None
    chain: CaptureChain | None = None


@dataclass(frozen=True, slots=True)
class Defaults:
    """What applies where a request does not say."""

    identification: Rule
    verification: Threshold
    plan: Plan

    def fmr_at(self, similarity: float) -> float | None:
        """Return the share of pairs of different people that are as similar, or None where that is not known."""
        return self.identification.fmr_at(similarity)


Asked: TypeAlias = Answer | Exception
"""What becomes of one question among many: each is answered, or fails, by itself."""
