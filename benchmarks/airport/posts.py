"""Gates that identify travellers, counters that verify them; each checks what it is told against the truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.airport.ledger import Ledger
from benchmarks.airport.people import Person, State, Vector

from gerbang import Action, GerbangError, SubjectNotFound
from gerbang_service.cli.demo.truth import LISTS, gravest

if TYPE_CHECKING:
    from gerbang import AsyncCounterClient, AsyncGateClient, IdentifyResponse, VerifyResponse

# The service's and numpy's sums of 512 products differ in their last digits.
TOLERANCE = 1e-4
THRESHOLD = 0.45


@dataclass(frozen=True, slots=True)
class Traveller:
    """Somebody at a gate or counter: the face as photographed there, and who it is; None: nobody who ever enrolled."""

    probe: Vector
    person: Person | None


@dataclass(frozen=True, slots=True)
class Rules:
    """What the posts know of the server. `suffix`: of this run's watchlist ids; `lag`: seconds it may be behind."""

    suffix: str
    lag: float = 0.0

    def list_id(self, name: str) -> str:
        """Return the watchlist's id."""
        return name + self.suffix

    def lists(self, state: State, direction: str) -> list[str]:
        """Return the names of the lists that a gate of this direction must be told of; "both": any direction."""
        return sorted(
            name for name in state.lists if direction == "both" or LISTS[name].direction in (direction, "both")
        )


async def identify(
    gate: AsyncGateClient, traveller: Traveller, direction: str, rules: Rules, ledger: Ledger, min_revision: int
) -> None:
    """Let one traveller through a gate."""
    lists = [rules.list_id(name) for name in LISTS]
    call = gate.identify(traveller.probe, direction=direction, watchlists=lists, min_revision=min_revision)
    called = await ledger.timed("identify", call)
    if isinstance(called.answer, GerbangError):
        ledger.failed("identify", called.answer)
        return
    check_found(called.answer, traveller, direction, rules, ledger, (called.began, called.ended))


def check_found(
    answer: IdentifyResponse,
    traveller: Traveller,
    direction: str,
    rules: Rules,
    ledger: Ledger,
    period: tuple[float, float],
) -> None:
    """Check an answer of Identify to a call that was underway in `period`."""
    person = traveller.person
    states: Iterable[State] = [State()] if person is None else person.possible(*period, rules.lag)
    right = any(_agrees(answer, traveller, state, direction, rules) for state in states)
    name = "a stranger" if person is None else person.subject_id
    told = [(each.subject_id, round(each.similarity, 4), list(each.watchlists)) for each in answer.candidates]
    ledger.check(right=right, what=f"{name} at a gate for {direction}: told {told}, known {_told(states)}")


def _agrees(answer: IdentifyResponse, traveller: Traveller, state: State, direction: str, rules: Rules) -> bool:
    lists = rules.lists(state, direction)
    if not lists or traveller.person is None:
        return not answer.hit and not answer.candidates
    if not answer.hit or len(answer.candidates) != 1:
        return False
    found = answer.candidates[0]
    return (
        found.subject_id == traveller.person.subject_id
        and abs(found.similarity - state.similarity(traveller.probe)) <= TOLERANCE
        and list(found.watchlists) == sorted(rules.list_id(name) for name in lists)
        and Action.Name(found.action) == f"ACTION_{gravest(lists).upper()}"
    )


async def verify(
    counter: AsyncCounterClient, traveller: Traveller, claimed: Person, rules: Rules, ledger: Ledger
) -> None:
    """Let a traveller, at a counter, claim to be somebody: the truth, or not."""
    call = counter.verify(traveller.probe, subject_id=claimed.subject_id, threshold=THRESHOLD)
    called = await ledger.timed("verify", call)
    answer = None if isinstance(called.answer, SubjectNotFound) else called.answer
    if isinstance(answer, GerbangError):
        ledger.failed("verify", answer)
        return
    states = claimed.possible(called.began, called.ended, rules.lag)
    right = any(_verified(answer, traveller.probe, state) for state in states)
    told = None if answer is None else (answer.match, round(answer.similarity, 4))
    ledger.check(right=right, what=f"at a counter, as {claimed.subject_id}: told {told}, known {_told(states)}")


def _verified(answer: VerifyResponse | None, probe: Vector, state: State) -> bool:
    if answer is None or not state.templates:
        return answer is None and not state.templates
    similarity = state.similarity(probe)
    # A similarity on the threshold may fall on either side.
    near = abs(similarity - THRESHOLD) <= TOLERANCE
    return abs(answer.similarity - similarity) <= TOLERANCE and (near or answer.match == (similarity >= THRESHOLD))


def _told(states: Iterable[State]) -> Sequence[tuple[tuple[str, ...], int]]:
    return [(each.lists, len(each.templates)) for each in states]
