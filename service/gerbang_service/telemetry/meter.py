"""What the working parts tell of their work: the seam between them and whoever counts, times or traces."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Protocol

# Of a call, as it sees them, waiting included.
EXTRACT, SEARCH, COMMIT = "extract", "search", "commit"
# Of the work itself: of one image; of one batch of searches; of one group of changes.
DECODE, DETECT, ALIGN, EMBED = "decode", "detect", "align", "embed"
SEARCH_BATCH, COMMIT_GROUP = "search_batch", "commit_group"

STAGES: Final = (EXTRACT, SEARCH, COMMIT, DECODE, DETECT, ALIGN, EMBED, SEARCH_BATCH, COMMIT_GROUP)


class Meter(Protocol):
    """Told by the parts of what they do. Methods may be called from any thread, cost microseconds, and never raise."""

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Time a stage, one of STAGES, of a call or of an image."""

    def image(self) -> AbstractContextManager[object]:
        """Stand around the work on one image: it ends in a template, or with what is raised."""

    def searched(self, queries: int, seconds: float) -> None:
        """Note a batch of searches."""

    def submitted(self) -> Callable[[Any], object]:
        """Note that a call waits for its change to be written; the result is called when it is, or failed."""

    def committed(self, changes: int, seconds: float, *, kept: bool) -> None:
        """Note a group of changes that was written, or, unless `kept`, that the store could not keep."""

    def revised(self, revision: int) -> None:
        """Note the revision that is visible now."""

    def expired_erased(self) -> None:
        """Note that a subject was erased that had expired."""


class Unmetered:
    """Nobody counts, times or traces."""

    def stage(self, name: str) -> AbstractContextManager[object]:  # noqa: ARG002
        """Do nothing."""
        return _NOTHING

    def image(self) -> AbstractContextManager[object]:
        """Do nothing."""
        return _NOTHING

    def searched(self, queries: int, seconds: float) -> None:
        """Do nothing."""

    def submitted(self) -> Callable[[Any], object]:
        """Do nothing."""
        return _ignore

    def committed(self, changes: int, seconds: float, *, kept: bool) -> None:
        """Do nothing."""

    def revised(self, revision: int) -> None:
        """Do nothing."""

    def expired_erased(self) -> None:
        """Do nothing."""


def _ignore(_: object) -> None:
    pass


_NOTHING: AbstractContextManager[object] = nullcontext()
UNMETERED: Final[Meter] = Unmetered()
