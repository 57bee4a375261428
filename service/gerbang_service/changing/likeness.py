"""Whether samples show one face: exact cosines, and the groups that they link samples to. Pure functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Groups:
    """Samples that show one face each group, by their numbers. `with_known`: those of the known templates' face.

    `apart`: the other groups, by their first sample. `nearest`: the highest similarity between two groups, where there
    are two.
    """

    with_known: Sequence[int]
    apart: Sequence[Sequence[int]]
    nearest: float = -1.0


def cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the exact cosine of each pair: float32 (n, m), from unit vectors float32 (n, d) and (m, d).

    The sum is made in float64 and rounded to float32, as the judge's, so that a threshold means the same to both.
    """
    products = np.einsum("id,jd->ij", one.astype(np.float64), other.astype(np.float64))
    scores: NDArray[np.float32] = np.clip(products, -1.0, 1.0).astype(np.float32)
    return scores


def groups(samples: NDArray[np.float32], known: NDArray[np.float32], threshold: float) -> Groups:
    """Link samples that are as similar as `threshold`, directly or through others, known templates among them.

    Single linkage, because poses differ: a face turned to the left and one turned to the right may have nothing but
    the one from the front in common. The known templates count as one face: somebody answers for that already.
    `samples`: float32 (n, d), `known`: float32 (m, d), of unit length; `threshold`: a cosine, rounded to float32.
    """
    count = len(samples)
    # Known templates are one more node, the last.
    nodes = count + bool(len(known))
    scores = np.ones((nodes, nodes), np.float32)
    scores[:count, :count] = cosines(samples, samples)
    if len(known):
        scores[:count, count] = scores[count, :count] = cosines(samples, known).max(axis=1)
    parts = _components(scores >= threshold)
    of_part = np.zeros(nodes, np.int64)
    for number, part in enumerate(parts):
        of_part[part] = number
    between = scores[of_part[:, np.newaxis] != of_part]
    with_known = [each for part in parts if count in part for each in part if each != count]
    return Groups(with_known, [part for part in parts if count not in part], float(between.max(initial=-1.0)))


def _components(linked: NDArray[np.bool_]) -> list[list[int]]:
    """Return the connected components of a graph, each in order, by their first node. `linked`: (n, n), symmetric."""
    left = np.ones(len(linked), np.bool_)
    parts: list[list[int]] = []
    while left.any():
        reached = np.zeros(len(linked), np.bool_)
        reached[left.argmax()] = True
        while (more := (linked[reached].any(axis=0) & left) & ~reached).any():
            reached |= more
        left &= ~reached
        parts.append(np.flatnonzero(reached).tolist())
    return parts


def best_to_others(
    samples: NDArray[np.float32], kept: Sequence[int], known: NDArray[np.float32]
) -> Sequence[float | None]:
    """Return for each sample its highest similarity to a known template or to another sample that is `kept`.

    None where there is neither. Arrays as of `groups`.
    """
    scores = cosines(samples, np.concatenate([samples[list(kept)], known]))
    for column, number in enumerate(kept):
        scores[number, column] = -np.inf
    best = scores.max(axis=1, initial=-np.inf)
    return [float(each) if np.isfinite(each) else None for each in best]
