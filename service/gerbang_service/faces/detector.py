"""Pixels -> faces: SCRFD as InsightFace runs it, without the work that no face comes of.

InsightFace works out a box and five landmarks for each of the network's thousands of anchors and then keeps those of a
handful; here the handful is picked first, and the network is asked for no others (`faces/networks.py`). The same
numbers come out to the bit; a test holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from gerbang_service.faces.blobs import Blobs, PixelTable
from gerbang_service.faces.networks import Level, Network, Whole, split

_NOTHING = (np.empty((0, 5), np.float32), np.empty((0, 5, 2), np.float32))


class Detector:
    """Finds faces. Thread-safe; keeps one input buffer a thread."""

    def __init__(self, model: Any, wide: Any) -> None:  # noqa: ANN401 - InsightFace is untyped
        """`model`: InsightFace's SCRFD, prepared; `wide`: the same, by several threads. Runs each once, on black."""
        self.model = model
        self.width, self.height = (int(each) for each in model.input_size)
        self.session, self.wide_session = self._session(model), self._session(wide)
        self.has_landmarks = bool(model.use_kps)
        self.network, self.wide_network = self._networks(wide)
        self._levels = [(stride, centres) for (_, _, stride), centres in model.center_cache.items()]
        self._table = PixelTable(model.input_mean, model.input_std, getattr(model, "input_dtype", np.float32))
        self._blobs = Blobs(self.height, self.width, self._table.dtype)

    def _session(self, model: Any) -> Any:  # noqa: ANN401 - InsightFace and ONNX Runtime are untyped
        # Its first run makes the session for this size, and the centres of the anchors.
        model.detect(np.zeros((64, 64, 3), np.uint8), input_size=(self.width, self.height))
        return model.resolution_sessions[self.width, self.height]

    def _networks(self, wide: Any) -> tuple[Network, Network]:  # noqa: ANN401 - as above
        """Return what finds faces by one thread, and by several."""
        whole = Whole(self.model, self.session)
        on_cpu = self.session.get_providers() == ["CPUExecutionProvider"]
        if self.has_landmarks and on_cpu and (parts := split((self.model, wide), (self.height, self.width), whole)):
            return parts[0], parts[1]
        return whole, Whole(wide, self.wide_session)

    def detect(
        self, pixels: NDArray[np.uint8], *, alone: bool = False
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return boxes (n, 5) of left, top, right, bottom, score, best first, and landmarks (n, 5, 2), in pixels.

        `pixels`: BGR uint8, (height, width, 3); `alone`: use several threads, as nothing else is to do.
        """
        height, width = self._fitted(pixels)
        if not height or not width:  # a line rather than a picture
            return _NOTHING
        blob = self._blobs.one
        self._table.paint(cast("NDArray[np.uint8]", cv2.resize(pixels, (width, height))), blob[0])
        levels = (self.wide_network if alone else self.network).run(blob)
        boxes, landmarks = self._decode(levels, height / pixels.shape[0])
        if len(boxes) > 1:
            order = np.argsort(-boxes[:, 4], kind="stable")
            boxes, landmarks = boxes[order], landmarks[order]
            keep = self.model.nms(boxes)
            boxes, landmarks = boxes[keep], landmarks[keep]
        return boxes, landmarks

    def _fitted(self, pixels: NDArray[np.uint8]) -> tuple[int, int]:
        """Return the height and width of the image inside the network's input; as InsightFace rounds them."""
        ratio = pixels.shape[0] / pixels.shape[1]
        if ratio > self.height / self.width:
            return self.height, int(self.height / ratio)
        return int(self.width * ratio), self.width

    def _decode(self, levels: Sequence[Level], scale: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return boxes with scores and landmarks, as `detect` does, of all anchors that see a face."""
        found = []
        for level, (stride, centres) in zip(levels, self._levels, strict=True):
            rows = np.flatnonzero(level.scores >= self.model.det_thresh)
            if not len(rows):
                continue
            centre = centres[rows]
            edges, points = level.at(rows)
            edges, points = edges * stride, (points * stride).reshape(-1, 5, 2)
            boxes = np.empty((len(rows), 5), np.float32)
            boxes[:, :2], boxes[:, 2:4] = centre - edges[:, :2], centre + edges[:, 2:]
            boxes[:, :4] /= scale
            boxes[:, 4:] = level.scores[rows]
            found.append((boxes, (centre[:, np.newaxis] + points) / scale))
        if len(found) < 2:
            return found[0] if found else _NOTHING
        return np.vstack([boxes for boxes, _ in found]), np.vstack([landmarks for _, landmarks in found])
