"""Protobuf's enum values as words for people and for options: `ACTION_REFUSE_ENTRY` is "refuse_entry"."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from gerbang.v1.plan_pb2 import Plan
from gerbang.v1.sample_pb2 import Face
from gerbang.v1.subject_pb2 import CaptureChain
from gerbang.v1.watchlist_pb2 import Action, Direction

DIRECTIONS: Final = tuple(name.removeprefix("DIRECTION_").lower() for name in Direction.keys()[1:])
ACTIONS: Final = tuple(name.removeprefix("ACTION_").lower() for name in Action.keys()[1:])
MEASURED_PLANS: Final = tuple(name.removeprefix("PLAN_").lower() for name in Plan.keys()[1:])
# The graph alone misses people: servers refuse to search so.
PLANS: Final = tuple(each for each in MEASURED_PLANS if each != "graph")

_ACTION_STYLES: Final = {
    Action.ACTION_REFUSE_ENTRY: "bold red",
    Action.ACTION_DEFER_DEPARTURE: "bold red",
    Action.ACTION_REFER_TO_OFFICER: "bold yellow",
    Action.ACTION_SILENT_ALERT: "bold magenta",
}


def direction_word(value: Direction.ValueType) -> str:
    """Return `arrival`, `departure` or `both`."""
    return _word(Direction.Name(value), "DIRECTION_")


def plan_word(value: Plan.ValueType) -> str:
    """Return the name of a search plan."""
    return _word(Plan.Name(value), "PLAN_")


def action_text(value: Action.ValueType) -> Text:
    """Say what is to be done, such as "refuse entry", the graver the redder."""
    return Text(_word(Action.Name(value), "ACTION_").replace("_", " "), style=_ACTION_STYLES.get(value, ""))


def _word(name: str, prefix: str) -> str:
    word = name.removeprefix(prefix).lower()
    return "-" if word == "unspecified" else word


def face_text(face: Face) -> str:
    """Say in one line what was measured of a face."""
    box, quality = face.box, face.quality
    return (
        f"{box.right - box.left:.0f}x{box.bottom - box.top:.0f} px at ({box.left:.0f}, {box.top:.0f}), "
        f"detection score {face.detection_score:.2f}, {quality.inter_eye_px:.0f} px between the eyes, "
        f"sharpness {quality.sharpness:.0f}, brightness {quality.brightness:.0f}, yaw {quality.yaw:+.0f}°, "
        f"roll {quality.roll:+.0f}°"
    )


def chain_text(chain: CaptureChain) -> str:
    """Say in one line what images go through before the recogniser."""
    return f"detector {chain.detector[:12]}... at {chain.detector_size} px, {chain.alignment}"
