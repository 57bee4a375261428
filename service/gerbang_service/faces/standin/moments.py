"""Convolution kernels that add up where a landmark's hue is: its mass, its centroid and how far it spreads.

The moments of a patch of pixels are four numbers: the sum of the mask, its sums times x and times y, and its sum
times the squared distance from the patch's middle. Those of a larger patch follow exactly from those of its parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from gerbang_service.faces.standin.drawing import LANDMARKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REACH: Final = 1.0  # radius of the window around a landmark's place, in the anchor's inter-eye distances


def pixel_moments(size: int) -> NDArray[np.float32]:
    """Return the kernel (20, 1, size, size) that makes a cell of pixels.

    Per hue: mass, first moments and squared radius.

    Moments are about the cell's middle, which lies between its middle pixels.
    """
    offsets = np.arange(size) - (size - 1) / 2
    x, y = np.meshgrid(offsets, offsets)
    one = np.stack([np.ones_like(x), x, y, x * x + y * y])
    return np.tile(one, (5, 1, 1))[:, None].astype(np.float32)


def merging_kernel(count: int, cell: float, support: NDArray[np.bool_], shift: float = 0.0) -> NDArray[np.float32]:
    """Kernel (20, 4, count, count) that adds up the moments of the cells in `support` (5, count, count).

    The sum is about a point `shift` pixels left of and above the middle of the kernel: moving a cell's
    moments by (dx, dy) is linear in them, so one convolution does it exactly.
    """
    offsets = (np.arange(count) - (count - 1) / 2) * cell + shift
    x, y = np.meshgrid(offsets, offsets)
    move = np.zeros((4, 4, count, count))
    move[0, 0] = move[1, 1] = move[2, 2] = move[3, 3] = 1
    move[1, 0], move[2, 0] = x, y
    move[3, 0], move[3, 1], move[3, 2] = x * x + y * y, 2 * x, 2 * y
    return (support[:, None, None] * move[None]).reshape(20, 4, count, count).astype(np.float32)


def windows(stride: int, expected: float, cell: int) -> NDArray[np.float32]:
    """Return the kernel of the windows in which an anchor looks for landmarks.

    `expected` is the inter-eye distance that the anchor is for.

    The window of the nose only has to hold the nose of a face whose anchor this is; the others leave room for
    size, tilt and turn, but not so much that a neighbour's landmark of the same hue gets in.
    """
    # The anchor is the first pixel of its stride, half a pixel after the border between cells.
    half = int(np.ceil((1.16 + _REACH) * expected / cell)) + 1
    offsets = (np.arange(2 * half) - half + 0.5) * cell
    x, y = np.meshgrid(offsets, offsets)
    support = np.zeros((5, 2 * half, 2 * half), dtype=bool)
    nose_x, nose_y = LANDMARKS[2]
    for index, (point_x, point_y) in enumerate(LANDMARKS):
        reach = 0.4 * expected + 0.75 * stride if index == 2 else _REACH * expected
        away = np.hypot(x - (point_x - nose_x) * expected, y - (point_y - nose_y) * expected)
        support[index] = away <= max(reach, cell)
    keep = np.flatnonzero(support.any(axis=(0, 1)) | support.any(axis=(0, 2)))
    trim = min(int(keep[0]), 2 * half - 1 - int(keep[-1]))
    support = support[:, trim : 2 * half - trim, trim : 2 * half - trim]
    return merging_kernel(support.shape[1], cell, support, shift=-0.5)
