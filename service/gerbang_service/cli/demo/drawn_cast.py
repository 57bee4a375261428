"""A cast of drawn people: faces that belong to nobody."""

from __future__ import annotations

from typing import Final

from gerbang_service.cli.demo.cast import TWO_PHOTOS, Cast, Part, Player
from gerbang_service.faces.standin.drawing import draw_face, encode_jpeg

_NAMES: Final = (
    *("Budi", "Sari", "Agus", "Dewi", "Hendra", "Ratna", "Joko", "Wayan"),
    *("Putri", "Kadek", "Yohana", "Surya", "Intan", "Bayu"),
)


def drawn_cast() -> Cast:
    """Draw everyone: always the same people and the same photos."""
    return {part: _player(part, number, name) for number, (part, name) in enumerate(zip(Part, _NAMES, strict=True))}


def _player(part: Part, identity: int, name: str) -> Player:
    on_file = encode_jpeg(draw_face(identity, seed=1)) if part in TWO_PHOTOS else None
    return Player(name, live=encode_jpeg(draw_face(identity, seed=2)), on_file=on_file)
