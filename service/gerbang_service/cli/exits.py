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
    SILENT = 4
    """A silent hit: the traveller is to pass and to notice nothing, and the officers are to be told."""
    PROPOSED = 5
    """Not done, but proposed: a second person has to confirm it."""
    INTERRUPTED = 130
    """Ctrl-C; what shells expect after SIGINT."""


EXIT_HELP = "Exit codes: 0 hit, match or done; 1 no hit, no match, or not all; 2 wrong usage; 3 error; 4 silent hit."
CHANGE_EXIT_HELP = "5 not done, but proposed: a second person has to confirm it."


def overall(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the code of several questions together: ERROR if any failed, else that of the gravest answer."""
    seen = set(codes)
    return next((each for each in (ExitCode.ERROR, ExitCode.YES, ExitCode.SILENT) if each in seen), ExitCode.NO)
