"""An aligned crop -> a template."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gerbang_service.faces.blobs import Blobs, PixelTable


class Embedder:
    """Runs a recogniser. Thread-safe."""

    def __init__(self, model: Any, wide: Any) -> None:  # noqa: ANN401 - InsightFace is untyped
        """`model`: InsightFace's ArcFaceONNX; `wide`: the same, by several threads. Runs it once, on black."""
        self.model = model
        self.session, self.wide_session = model.session, wide.session
        self.side = int(model.input_size[0])
        self._table = PixelTable(model.input_mean, model.input_std, getattr(model, "input_dtype", np.float32))
        self._blobs = Blobs(self.side, self.side, self._table.dtype)
        self.dimension = len(self.embed([np.zeros((self.side, self.side, 3), np.uint8)])[0])

    @property
    def takes_batches(self) -> bool:
        """Whether the network takes any number of crops at a time, not just one."""
        return not isinstance(self.model.input_shape[0], int)

    def embed(self, crops: Sequence[NDArray[np.uint8]], *, alone: bool = False) -> list[NDArray[np.float32]]:
        """Return a unit-length template, (dimension,), for each crop.

        `crops`: BGR uint8, (side, side, 3); `alone`: use several threads, as nothing else is to do. Raises
        ArithmeticError when the recogniser gives a vector without a direction (NaN, infinite or all zero): no crop
        should make it, so it is the pack or the device that is broken.
        """
        one = self._blobs.one
        blob = one if len(crops) == 1 else np.empty((len(crops), *one.shape[1:]), one.dtype)
        for crop, planes in zip(crops, blob, strict=True):
            self._table.paint(crop, planes)
        session = self.wide_session if alone else self.session
        rows = session.run(self.model.output_names, {self.model.input_name: blob})[0]
        return [_unit(row) for row in rows.reshape(len(crops), -1)]


def _unit(row: NDArray[np.float32]) -> NDArray[np.float32]:
    exact = row.astype(np.float64)
    norm = np.linalg.norm(exact)
    # Such a template would be stored, and never match anything.
    if not 0 < norm < math.inf:
        raise ArithmeticError(f"the recogniser gave a vector of norm {norm}")
    unit: NDArray[np.float32] = (exact / norm).astype(np.float32)
    return unit
