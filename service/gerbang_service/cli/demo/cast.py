"""Who plays in the demo: the parts, and the people with their photos who take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Part(Enum):
    """A part in the story; the value is what is true of whoever plays it."""

    EXIT_BANNED = "exit ban until next year"
    EXIT_BANNED_FOR_GOOD = "exit ban without end"
    EXIT_BAN_OVER = "exit ban, over yesterday"
    EXIT_BAN_AHEAD = "exit ban from next month"
    ENTRY_BANNED = "entry ban until next year"
    ENTRY_BAN_IN_ERROR = "entry ban, to be deleted"
    ENTRY_BAN_LIFTED = "entry ban, to be lifted"
    WANTED = "red notice"
    WANTED_AND_BANNED = "red notice and exit ban"
    RESIDENT = "resident, on no list"
    PASSPORT_HOLDER = "citizen with a passport"
    IMPOSTOR = "shows that passport"
    FIRST_STRANGER = "tourist"
    SECOND_STRANGER = "pilot"


TWO_PHOTOS: Final = tuple(
    part for part in Part if part not in (Part.IMPOSTOR, Part.FIRST_STRANGER, Part.SECOND_STRANGER)
)
"""Parts whose players have a photo that the office (or the passport) has, and another one that the gate takes."""

ONE_PHOTO: Final = tuple(part for part in Part if part not in TWO_PHOTOS)
"""Parts whose players nobody knows."""


@dataclass(frozen=True, slots=True)
class Player:
    """A person. `on_file` is the photo that is enrolled or in the passport, `live` the one that a gate takes.

    Both are image files. For those whom nobody knows, `on_file` is None.
    """

    name: str
    live: bytes
    on_file: bytes | None = None

    @property
    def known_photo(self) -> bytes:
        """The photo on file; only for parts that have one."""
        if self.on_file is None:
            raise ValueError(f"there is no photo of {self.name} on file")
        return self.on_file


Cast = Mapping[Part, Player]


def subject_id(part: Part) -> str:
    """Return the id under which the office enrols whoever plays the part; it says nothing about the person."""
    return f"S-{1001 + list(Part).index(part)}"
