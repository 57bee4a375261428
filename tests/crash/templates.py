"""Servers of templates, and random templates for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gerbang import Sample, Template

TEMPLATES = ("--pack", "none", "--dimension", "16", "--threshold", "0.5")


def template(seed: int) -> Sample:
    """Return a random template; of two seeds they are not similar."""
    return _sample(_face(seed))


def _face(seed: int) -> NDArray[np.float64]:
    return np.random.default_rng((seed, 23)).normal(size=16)


def _sample(vector: NDArray[np.float64]) -> Sample:
    return Sample(template=Template(vector=vector.astype("<f4").tobytes()))


def samples_of(number: int) -> list[Sample]:
    """Return three templates of one person, the first that of `template(10 * number)`: cosines are about 0.9."""
    face = _face(10 * number)
    return [_sample(face), *(_sample(face + 0.3 * _face(10 * number + sample)) for sample in (1, 2))]
