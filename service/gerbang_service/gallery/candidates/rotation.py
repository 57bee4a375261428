"""Random rotations: from a template's coordinates to directions that all carry about as much of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SEED = 7


def rotation(dimension: int, directions: int) -> NDArray[np.float32]:
    """Return `directions` unit directions as columns: random orthogonal matrices side by side.

    float32, shape (dimension, directions), C-contiguous; the same for the same arguments. Each whole matrix of
    `dimension` columns keeps all of a vector; a QR decomposition whose R has a positive diagonal makes it uniformly
    distributed (Mezzadri 2007, "How to generate random matrices from the classical compact groups").
    """
    random = np.random.default_rng(_SEED)
    matrices = []
    for _ in range(-(-directions // dimension)):
        orthogonal, triangular = np.linalg.qr(random.standard_normal((dimension, dimension)))
        matrices.append(orthogonal * np.sign(np.diag(triangular)))
    return np.ascontiguousarray(np.concatenate(matrices, axis=1)[:, :directions], np.float32)
