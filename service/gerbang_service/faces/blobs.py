"""Pixels -> what a network is fed."""

from __future__ import annotations

import threading

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray


class PixelTable:
    """What a network is fed for each of the 256 values that a pixel can have. Immutable.

    The table is made by the very call of InsightFace, cv2.dnn.blobFromImage, so looking values up gives the same input
    to the bit, in a fraction of the time (docs/images.md).
    """

    def __init__(self, mean: float, std: float, dtype: DTypeLike) -> None:
        """`mean`, `std`: of the network, in pixel values; `dtype`: of its input, float32 or uint8."""
        ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
        blob = cv2.dnn.blobFromImage(ramp, 1.0 / std, (16, 16), (mean, mean, mean), swapRB=True)
        self.dtype = np.dtype(dtype)
        self._values = np.ascontiguousarray(blob[0, 0].ravel(), self.dtype)

    def paint(self, pixels: NDArray[np.uint8], blob: NDArray[np.float32 | np.uint8]) -> None:
        """Write an image into the top left corner of `blob`, and black around it.

        `pixels`: BGR uint8, (h, w, 3); `blob`: (3, >= h, >= w), planes R, G, B, each with contiguous rows.
        """
        height, width = pixels.shape[:2]
        blob[:, height:] = blob[:, :, width:] = self._values[0]
        for channel, plane in enumerate(reversed(cv2.split(pixels))):
            cv2.LUT(plane, self._values, dst=blob[channel, :height, :width])


class Blobs(threading.local):
    """One input of a network for each thread, used again and again.

    A new one for every image costs more than filling it: its pages come from the kernel, zeroed, each time.
    """

    def __init__(self, height: int, width: int, dtype: DTypeLike) -> None:
        self.one = np.empty((1, 3, height, width), dtype)
