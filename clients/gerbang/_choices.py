"""Enums as callers write them: `direction="arrival"` or the protobuf value."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from gerbang.v1.matching_service_pb2 import OnExisting
from gerbang.v1.plan_pb2 import Plan
from gerbang.v1.sample_pb2 import FaceChoice
from gerbang.v1.watchlist_pb2 import Action, Direction

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper

Value = TypeVar("Value", bound=int)

#: A value of a protobuf enum, or the lower-case end of its name: `DIRECTION_ARRIVAL` is "arrival".
Choice: TypeAlias = int | str


def direction_value(choice: Choice | None) -> Direction.ValueType:
    """Return a Direction: "arrival", "departure" or "both". None: unspecified."""
    return _value(Direction, "direction", choice)


def action_value(choice: Choice | None) -> Action.ValueType:
    """Return an Action: "silent_alert", "refer_to_officer", ... None: unspecified."""
    return _value(Action, "action", choice)


def plan_value(choice: Choice | None) -> Plan.ValueType:
    """Return a Plan to search by: "both", "sweep" or "exact". None: unspecified."""
    return _value(Plan, "plan", choice, but=(Plan.PLAN_GRAPH,))


def measured_plan_value(choice: Choice) -> Plan.ValueType:
    """Return a Plan to measure: "both", "graph", "sweep" or "exact"."""
    return _value(Plan, "plan", choice)


def face_choice_value(choice: Choice | None) -> FaceChoice.ValueType:
    """Return a FaceChoice: "largest" or "only". None: unspecified."""
    return _value(FaceChoice, "face_choice", choice)


def on_existing_value(choice: Choice | None) -> OnExisting.ValueType:
    """Return an OnExisting: "reject", "add" or "replace". None: unspecified."""
    return _value(OnExisting, "on_existing", choice)


def _value(enum: _EnumTypeWrapper[Value], argument: str, choice: Choice | None, but: Collection[Value] = ()) -> Value:
    """Return the enum's value. Raise ValueError, with the choices, for one that it does not have, or that is `but`."""
    # Every enum names its first value X_UNSPECIFIED; X_ is what the others begin with (buf lint holds both).
    prefix = enum.keys()[0].removesuffix("UNSPECIFIED")
    names = {name.removeprefix(prefix).lower(): value for name, value in enum.items() if value and value not in but}
    if choice is None:
        return enum.values()[0]
    if isinstance(choice, str):
        if choice in names:
            return names[choice]
    elif not isinstance(choice, int) or isinstance(choice, bool):
        raise TypeError(f"{argument} is a string or a protobuf enum value, not {type(choice).__name__}")
    else:
        for value in enum.values():
            if value == choice and value not in but:
                return value
    raise ValueError(f"{argument} {choice!r} is none of {', '.join(names)}")
