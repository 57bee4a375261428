"""Enums of the wire <-> the domain's, by their names: one word each, and no second list of them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, TypeVar

from gerbang.v1 import matching_service_pb2, plan_pb2, sample_pb2, watchlist_pb2
from gerbang_service.changing.storing import OnExisting
from gerbang_service.domain.decision import Decision
from gerbang_service.domain.errors import FieldInvalid
from gerbang_service.domain.faces import FaceChoice
from gerbang_service.domain.questions import CHOOSABLE, Plan
from gerbang_service.domain.watchlists import Action, Direction

Word = TypeVar("Word", bound=Enum)


def _numbers(words: type[Word], wire: Any, prefix: str) -> dict[Word, Any]:  # noqa: ANN401 - protobuf's enum wrapper
    return {word: wire.Value(prefix + word.name) for word in words}


def _words(numbers: Mapping[Word, int], unspecified: Word) -> dict[int, Word]:
    return {0: unspecified, **{number: word for word, number in numbers.items()}}


DIRECTION_NUMBERS: Final = _numbers(Direction, watchlist_pb2.Direction, "DIRECTION_")
ACTION_NUMBERS: Final = _numbers(Action, watchlist_pb2.Action, "ACTION_")
DECISION_NUMBERS: Final = _numbers(Decision, matching_service_pb2.Decision, "DECISION_")
PLAN_NUMBERS: Final = _numbers(Plan, plan_pb2.Plan, "PLAN_")
_CHOICE_NUMBERS: Final = _numbers(FaceChoice, sample_pb2.FaceChoice, "FACE_CHOICE_")
_ON_EXISTING_NUMBERS: Final = _numbers(OnExisting, matching_service_pb2.OnExisting, "ON_EXISTING_")

DIRECTIONS: Final = _words(DIRECTION_NUMBERS, Direction.BOTH)
ACTIONS: Final = _words(ACTION_NUMBERS, Action.REFER_TO_OFFICER)
ON_EXISTING: Final = _words(_ON_EXISTING_NUMBERS, OnExisting.REJECT)
# 0 has no word of its own here: what it means depends on the rpc.
PLANS: Final = {number: plan for plan, number in PLAN_NUMBERS.items()}
CHOICES: Final = {number: choice for choice, number in _CHOICE_NUMBERS.items()}


def word(field: str, number: int, words: Mapping[int, Word]) -> Word:
    """Return the word that a field's number stands for; raise FieldInvalid for an unknown one."""
    if number not in words:
        raise FieldInvalid(field, f"has no value {number}")
    return words[number]


def chosen_plan(number: int) -> Plan | None:
    """Return the plan that an Identify chooses, None for the server's; raise FieldInvalid for GRAPH."""
    plan = word("plan", number, PLANS) if number else None
    if plan is not None and plan not in CHOOSABLE:
        raise FieldInvalid("plan", f"{plan.name} alone misses people: it can be measured (MeasureRecall), not chosen")
    return plan
