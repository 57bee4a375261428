"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How much it matters."""

    OK = "ok"
    WARNING = "warning"
    """It runs, and somebody should look at it."""
    FAIL = "fail"
    """It would not start, or not do what it is for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: of what (`area`), how it is, and what would mend it."""

    area: str
    level: Level
    text: str
    advice: str = ""

    @classmethod
    def ok(cls, area: str, text: str) -> Finding:
        """Say that all is well."""
        return cls(area, Level.OK, text)

    @classmethod
    def warning(cls, area: str, text: str, advice: str) -> Finding:
        """Say that somebody should look at it."""
        return cls(area, Level.WARNING, text, advice)

    @classmethod
    def fail(cls, area: str, text: str, advice: str = "") -> Finding:
        """Say that it does not work."""
        return cls(area, Level.FAIL, text, advice)
