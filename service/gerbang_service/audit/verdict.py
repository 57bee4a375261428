"""What is found when a log is verified."""

from __future__ import annotations

from dataclasses import dataclass, field

from gerbang_service.audit.chain import Head

CHANGED, SEQUENCE, FORGED, CUT, UNKEYED = "changed", "sequence", "forged", "cut", "unkeyed"
HEAD, MISPLACED, FOUND = "head", "misplaced", "found"
"""Kinds of breaks: see `Break`."""


@dataclass(frozen=True, slots=True)
class Break:
    """Where a log is not as it was written. `line` counts from 1; 0 for the file as a whole.

    `kind`: CHANGED, the line is not what its hash, or the chain, says; SEQUENCE, lines were cut, moved or put in before
    it; FORGED, the line was not written with the key; UNKEYED, it has no code where it must have one; CUT, the end, or
    all of it, is missing; HEAD, the head file, or a head that was noted elsewhere, does not fit; MISPLACED, it is the
    file of another log; FOUND, the server recorded at its start that the log was not as it had left it.
    """

    file: str
    line: int
    kind: str
    text: str


@dataclass(slots=True)
class Verdict:
    """What verifying one log found. `notes`: what could not be checked, and what the log itself tells of."""

    name: str
    first: int | None = None
    last: Head | None = None
    records: int = 0
    files: int = 0
    breaks: list[Break] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether no break was found."""
        return not self.breaks
