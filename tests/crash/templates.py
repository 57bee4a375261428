"""Servers of templates, and random templates for them."""

from __future__ import annotations

import numpy as np

from gerbang import Sample, Template

TEMPLATES = ("--pack", "none", "--dimension", "16", "--threshold", "0.5")


def template(seed: int) -> Sample:
    """Return a random template; of two seeds they are not similar."""
    vector = np.random.default_rng((seed, 23)).normal(size=16)
    return Sample(template=Template(vector=vector.astype("<f4").tobytes()))


def samples_of(number: int) -> list[Sample]:
    """Return three templates of one person."""
    return [template(10 * number + sample) for sample in range(3)]
