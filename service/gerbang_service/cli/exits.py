"""Exit codes: what a script that calls `gerbang` learns without reading anything."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    YES = 0
    """Hit, match, or done."""
    NO = 1
    """No hit, no match, or (enroll) done but for photos that were rejected."""
    USAGE = 2
    """The command line is wrong; nothing was sent. click's own code for that."""
    ERROR = 3
    """The question was not answered, or the work not done."""
    PROPOSED = 4
    """Not done, but proposed: a second person has to confirm it."""
    INTERRUPTED = 130
    """Ctrl-C; what shells expect after SIGINT."""


EXIT_HELP = "Exit codes: 0 hit, match or done; 1 no hit or no match; 2 wrong usage; 3 error."


def overall(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the code of several questions together: ERROR if any failed, else YES if any was a hit, else NO."""
    seen = set(codes)
    if ExitCode.ERROR in seen:
        return ExitCode.ERROR
    return ExitCode.YES if ExitCode.YES in seen else ExitCode.NO
