"""The stand-in recogniser: tells drawn people apart, as an ONNX graph in ArcFace's format.

It reads the tiles of the face: mean luminance of each cell of a grid over the aligned crop, without the
places where every drawn person looks alike (eyes, nose, mouth, outline). Light that is brighter, darker or
stronger from one side is projected out; a fixed rotation spreads what is left over the template. Nothing is
learnt, and the constants come from integer arithmetic, so that the file (and with it the model's fingerprint)
is the same everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from gerbang_service.faces.standin.graph import GraphBuilder

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

CROP: Final = 112
"""Width and height of the aligned crop in pixels."""
DIMENSION: Final = 128
"""Length of the template."""

_CELL: Final = 5
_SIDE: Final = CROP // _CELL
_LUMA: Final = (0.299, 0.587, 0.114)  # of red, green, blue
_SEED: Final = 20240229
_OVAL: Final = (56.0, 72.5, 36.0, 35.5)
"""The face without its edge: middle x, y and half axes, in crop pixels."""
_FEATURES: Final = (
    (38.3, 48.5, 12.5),
    (73.6, 48.5, 12.5),
    (56.0, 71.8, 6.0),
    (41.5, 92.3, 6.0),
    (70.7, 92.3, 6.0),
    (49.0, 97.0, 4.0),
    (56.0, 98.5, 4.0),
    (63.0, 97.0, 4.0),
)
"""Discs (x, y, radius, in crop pixels) that brows, eyes, nose and mouth cover: InsightFace's alignment puts
them there."""
_FLAT: Final = 1e-3  # a crop without any tiles gets a template along one axis instead of no direction at all


def build_recogniser() -> onnx.ModelProto:
    """Build the recogniser: input (n, 3, 112, 112) RGB, (v - 127.5) / 127.5; output (n, 128), unit length."""
    graph = GraphBuilder()
    mask = _mask()
    weights = np.array(_LUMA, dtype=np.float32).reshape(1, 3, 1, 1)
    luma = graph.node("Conv", ["input", graph.constant(weights)])
    kept = graph.node("Mul", [luma, graph.constant(mask.reshape(1, 1, CROP, CROP).astype(np.float32))])
    cells = graph.node("AveragePool", [kept], kernel_shape=[_CELL, _CELL], strides=[_CELL, _CELL])
    row = graph.node("Reshape", [cells, graph.constant([-1, _SIDE * _SIDE])])
    turned = graph.node("MatMul", [row, graph.constant(_projection(mask))])
    first = np.zeros(DIMENSION, dtype=np.float32)
    first[0] = _FLAT
    turned = graph.node("Add", [turned, graph.constant(first)])
    length = graph.node("ReduceL2", [turned], axes=[1], keepdims=1)
    graph.node("Div", [turned, length], result="template")
    note = "Gerbang's stand-in: tells drawn people apart. Not a face recogniser for photographs of people."
    return graph.model(
        "stand-in recogniser", {"input": ["batch", 3, CROP, CROP]}, {"template": ["batch", DIMENSION]}, note
    )


def _mask() -> NDArray[np.bool_]:
    """Return (112, 112): the pixels of the crop whose luminance is the person's own."""
    y, x = np.mgrid[:CROP, :CROP]
    middle_x, middle_y, half_width, half_height = _OVAL
    mask = ((x - middle_x) / half_width) ** 2 + ((y - middle_y) / half_height) ** 2 <= 1
    for feature_x, feature_y, radius in _FEATURES:
        mask &= (x - feature_x) ** 2 + (y - feature_y) ** 2 > radius**2
    return np.asarray(mask)


def _projection(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return (484, 128): from the cells' masked means to the template."""
    whole = _SIDE * _CELL
    share = mask[:whole, :whole].reshape(_SIDE, _CELL, _SIDE, _CELL).mean(axis=(1, 3)).ravel()
    chosen = np.flatnonzero(share >= 0.5)
    if len(chosen) > DIMENSION:
        raise ValueError(f"{len(chosen)} cells do not fit a template of {DIMENSION}")
    y, x = np.divmod(chosen, _SIDE)
    spread = _without_light(x, y) @ _rotation()[: len(chosen)]
    projection = np.zeros((_SIDE * _SIDE, DIMENSION))
    projection[chosen] = spread / share[chosen, None]
    # Rounded, so that a different order of summation elsewhere does not change the file.
    return np.round(projection, 5).astype(np.float32)


def _without_light(x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the projection (n, n) that takes out what is the same or rises evenly all over the face."""
    planes: list[NDArray[np.float64]] = []
    projection = np.eye(len(x))
    for plane in (np.ones(len(x)), x.astype(np.float64), y.astype(np.float64)):
        rest = plane - np.sum([(plane * earlier).sum() * earlier for earlier in planes], axis=0)
        planes.append(rest / np.sqrt((rest * rest).sum()))
        projection -= np.outer(planes[-1], planes[-1])
    return projection


def _rotation() -> NDArray[np.float64]:
    """Return an orthogonal (128, 128): a Hadamard matrix, its rows shuffled and its columns' signs drawn."""
    matrix = np.ones((1, 1), dtype=np.int64)
    while len(matrix) < DIMENSION:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    rng = np.random.default_rng(_SEED)
    order = np.argsort(rng.integers(2**62, size=DIMENSION))
    signs = rng.integers(2, size=DIMENSION) * 2 - 1
    return np.asarray(matrix[order] * signs / np.sqrt(DIMENSION))
