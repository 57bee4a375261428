"""The official fake of a generator: it compares exactly, for tests of what asks generators. It is never served."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from gerbang_service.gallery.candidates.port import Added, Among, GeneratorProgress, Probes, Proposal


class EveryRow:
    """A Generator that keeps vectors in a dictionary, and looks at each of them."""

    name: Final = "fake"
    required: Final = False

    def __init__(self) -> None:
        self._vectors: dict[int, NDArray[np.float32]] = {}

    def added(self, new: Added) -> None:
        """Take rows in at once."""
        self._vectors |= zip(new.rows.tolist(), new.vectors, strict=True)

    def removed(self, rows: NDArray[np.int64]) -> None:
        """Forget rows."""
        for row in rows.tolist():
            self._vectors.pop(row, None)

    def propose(self, probes: Probes, count: int, among: Among) -> Proposal:  # noqa: ARG002 - more do no harm
        """Return the most similar rows."""
        rows = np.fromiter(self._vectors, np.int64, len(self._vectors))
        if not len(rows):
            return Proposal(np.full((len(probes.vectors), 0), -1, np.int64))
        scores = probes.vectors @ np.stack(list(self._vectors.values())).T
        return Proposal(rows[np.argsort(-scores, axis=1)[:, :count]])

    def progress(self) -> GeneratorProgress:
        """Tell how many rows it holds."""
        return GeneratorProgress(self.name, len(self._vectors))

    def start(self) -> None:
        """Do nothing: it has no threads."""

    def stop(self) -> None:
        """Do nothing."""
