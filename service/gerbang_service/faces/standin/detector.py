"""The stand-in detector: finds drawn faces, as an ONNX graph in SCRFD's format.

There is nothing learnt in it. A mask for each landmark's hue is summed into small cells, each with its
moments (mass, centroid, spread). For every anchor and both of its face sizes, the moments of the cells around
the place where the landmark should be are added up; what comes out is where the landmark is and how compact
it is. The score says by how much the least satisfied of a list of conditions on the five landmarks is
satisfied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from gerbang_service.faces.standin.drawing import LANDMARKS
from gerbang_service.faces.standin.graph import GraphBuilder
from gerbang_service.faces.standin.moments import merging_kernel, pixel_moments, windows

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

STRIDES: Final = (8, 16, 32)
SMALLEST: Final = 6.0
"""Smallest inter-eye distance that is looked for, in pixels of the detector's input."""
LARGEST: Final = 220.0
"""Largest, likewise."""

_LEVELS: Final = 6  # two anchors a cell, one for each half of the stride's range of sizes
_STEP: Final = (LARGEST / SMALLEST) ** (1 / _LEVELS)
_OVERLAP: Final = 1.06  # neighbouring ranges overlap, so that no size falls between two

_CELLS: Final = ((4, 8), (8, 16), (32, 32))
"""Width of the cells that each anchor's windows are made of, in pixels: about a third of an inter-eye
distance."""

_SATURATION: Final = 0.13  # of the brightest channel: tiles, hair and clothes stay below it
_FLOOR: Final = 5.0  # grey levels: what noise may add in the dark
_NOTHING: Final = 1e-3  # keeps division by an empty mass finite; one pixel's is a thousand times as much
_MIDDLE: Final = 0.55  # from the eyes down to the middle of the face's box


@dataclass(frozen=True, slots=True)
class _Condition:
    """A measured number must lie between `low` and `high`; the score saturates `soft` inside of them."""

    low: float
    high: float
    soft: float


def build_detector() -> onnx.ModelProto:
    """Build the detector: input (1, 3, height, width) RGB scaled by (v - 127.5) / 128, SCRFD's nine outputs.

    Height and width are free; faces with 6 to 220 pixels between the eyes (in the input) are found, tilted up
    to about 28 degrees and turned up to 60.
    """
    graph = GraphBuilder()
    cells = _pyramid(graph)
    found = [_level(graph, cells, stride, index) for index, stride in enumerate(STRIDES)]
    outputs: dict[str, list[int | str]] = {}
    for part, width in enumerate((1, 4, 10)):
        for stride, names in zip(STRIDES, found, strict=True):
            outputs[names[part]] = [f"anchors_{stride}", width]
    note = "Gerbang's stand-in: finds drawn faces only. Not a face detector for photographs of people."
    return graph.model("stand-in detector", {"input": [1, 3, "height", "width"]}, outputs, note)


def _masks(graph: GraphBuilder) -> str:
    """How much of each landmark's hue a pixel has, in grey levels: (1, 5, height, width), in landmark order.

    A hue is what its own channels have in common over what the others have. A share of the brightest channel
    is taken off, so that dim and bright light find the same pixels.
    """
    levels = graph.node("Mul", ["input", graph.constant(128.0)])
    levels = graph.node("Add", [levels, graph.constant(127.5)])
    red, green, blue = (_row(graph, levels, channel) for channel in range(3))
    pairs = {
        "green-blue": graph.node("Max", [green, blue]),
        "red-green": graph.node("Max", [red, green]),
        "red-blue": graph.node("Max", [red, blue]),
    }
    hues = (
        (blue, pairs["red-green"]),
        (green, pairs["red-blue"]),
        (red, pairs["green-blue"]),
        (graph.node("Min", [red, green]), blue),
        (graph.node("Min", [red, blue]), green),
    )
    chroma = graph.node("Concat", [graph.node("Sub", list(pair)) for pair in hues], axis=1)
    brightest = graph.node("Max", [pairs["red-green"], blue])
    least = graph.node("Mul", [brightest, graph.constant(_SATURATION)])
    least = graph.node("Add", [least, graph.constant(_FLOOR)])
    return graph.node("Relu", [graph.node("Sub", [chroma, least])])


def _pyramid(graph: GraphBuilder) -> dict[int, str]:
    """Moments of the masks in cells of 4, 8, 16 and 32 pixels: each (1, 20, rows, columns), hue by hue."""
    first = _CELLS[0][0]
    kernel = graph.constant(pixel_moments(first))
    cells = {first: graph.node("Conv", [_masks(graph), kernel], strides=[first, first], group=5)}
    for size in (8, 16, 32):
        merge = merging_kernel(2, size / 2, np.ones((5, 2, 2), dtype=bool))
        cells[size] = graph.node("Conv", [cells[size // 2], graph.constant(merge)], strides=[2, 2], group=5)
    return cells


def _level(graph: GraphBuilder, cells: dict[int, str], stride: int, index: int) -> tuple[str, str, str]:
    """Scores, boxes and landmarks of one stride, for both anchors of every cell."""
    sizes = [SMALLEST * _STEP ** (2 * index + half + 0.5) for half in range(2)]
    sums = []
    for size, cell in zip(sizes, _CELLS[index], strict=True):
        kernel = windows(stride, size, cell)
        half, step = kernel.shape[2] // 2, stride // cell
        inputs, pads = [cells[cell], graph.constant(kernel)], [half, half, half - step, half - step]
        seen = graph.node("Conv", inputs, strides=[step, step], pads=pads, group=5)
        sums.append(graph.node("Reshape", [seen, graph.constant([1, 5, 4, -1])]))
    moments = graph.node("Concat", sums, axis=0)
    mass, sum_x, sum_y, sum_r = (
        graph.node("Gather", [moments, graph.constant(np.array(part))], axis=2) for part in range(4)
    )
    divisor = graph.node("Add", [mass, graph.constant(_NOTHING)])
    x, y, r = (graph.node("Div", [total, divisor]) for total in (sum_x, sum_y, sum_r))
    spread = graph.node("Sub", [r, graph.node("Add", [_square(graph, x), _square(graph, y)])])
    frame = _frame(graph, x, y)
    score = _score(graph, frame, mass, spread, stride, np.array(sizes))
    return (
        _flatten(graph, score, 1, f"score_{stride}"),
        _flatten(graph, _box(graph, frame, stride), 4, f"bbox_{stride}"),
        _flatten(graph, _points(graph, x, y, stride), 10, f"kps_{stride}"),
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    """Names of graph values, each (2, n, anchors): landmarks combined, in the picture's and the face's axes.

    A face's own unit is the inter-eye distance that it has, or would have, when it looks straight ahead. It
    is measured down the middle of the face, from the eyes to the mouth, because turning the head leaves that
    as it is.
    """

    x: str
    y: str
    unit: str
    across: str
    down: str


_MOUTH: Final = LANDMARKS[3][1]
_AXIS, _EYES, _NOSE, _LIPS, _NOSE_PLACE, _EYES_PLACE = range(6)
_COMBINATIONS: Final = np.array(
    [
        np.array([-0.5, -0.5, 0, 0.5, 0.5]) / _MOUTH,  # from the eyes down to the mouth, one unit long
        [-1, 1, 0, 0, 0],  # from eye to eye
        [-0.5, -0.5, 1, 0, 0],  # from the eyes to the nose
        [0, 0, 0, -1, 1],  # from mouth corner to mouth corner
        [0, 0, 1, 0, 0],  # from the anchor to the nose
        [0.5, 0.5, 0, 0, 0],  # from the anchor to the eyes
    ],
    dtype=np.float32,
)


def _frame(graph: GraphBuilder, x: str, y: str) -> _Frame:
    combine = graph.constant(_COMBINATIONS)
    x, y = graph.node("MatMul", [combine, x]), graph.node("MatMul", [combine, y])
    axis_x, axis_y = _row(graph, x, _AXIS), _row(graph, y, _AXIS)
    squared = graph.node("Add", [_square(graph, axis_x), _square(graph, axis_y)])
    squared = graph.node("Max", [squared, graph.constant(1.0)])
    dot = graph.node("Add", [graph.node("Mul", [x, axis_x]), graph.node("Mul", [y, axis_y])])
    cross = graph.node("Sub", [graph.node("Mul", [x, axis_y]), graph.node("Mul", [y, axis_x])])
    return _Frame(
        x=x,
        y=y,
        unit=graph.node("Sqrt", [squared]),
        across=graph.node("Div", [cross, squared]),
        down=graph.node("Div", [dot, squared]),
    )


_ACROSS: Final = {
    _EYES: _Condition(0.35, 1.25, 0.1),  # closer together the more the head is turned
    _NOSE: _Condition(-0.6, 0.6, 0.1),  # between the eyes, or towards one of them
    _LIPS: _Condition(0.27, 1.1, 0.1),
}
_DOWN: Final = {
    _EYES: _Condition(-0.3, 0.3, 0.1),  # eyes and mouth are parallel
    _NOSE: _Condition(0.3, 0.85, 0.1),
    _LIPS: _Condition(-0.3, 0.3, 0.1),
}
_UPRIGHT: Final = _Condition(0.87, 2.0, 0.03)  # cosine of the tilt
_SPREAD: Final = _Condition(-1.0, 0.075, 0.02)  # mean squared distance from the centroid, in squared units
_GRAIN: Final = 16.0  # added to the squared unit: in a tiny face a dot is no larger than a pixel
_MASS: Final = _Condition(0.2, 1e9, 0.2)  # grey levels of hue, averaged over a square with sides of one unit
_NEAR: Final = _Condition(-0.75, 0.75, 0.2)  # of a stride: the anchor is the nose's


def _score(graph: GraphBuilder, frame: _Frame, mass: str, spread: str, stride: int, sizes: NDArray[np.float64]) -> str:
    """(2, 1, anchors) in [0, 1]: 0.5 where the worst condition is just met."""
    squared = _square(graph, frame.unit)
    grainy = graph.node("Add", [squared, graph.constant(_GRAIN)])
    expected = graph.constant(sizes.reshape(2, 1, 1).astype(np.float32))
    edge = float(np.sqrt(_STEP)) * _OVERLAP
    checks = [(_row(graph, frame.across, row), condition) for row, condition in _ACROSS.items()]
    checks += [(_row(graph, frame.down, row), condition) for row, condition in _DOWN.items()]
    checks += [
        (graph.node("Div", [_row(graph, frame.y, _AXIS), frame.unit]), _UPRIGHT),
        (graph.node("Div", [spread, grainy]), _SPREAD),
        (graph.node("Div", [mass, squared]), _MASS),
        (graph.node("Div", [frame.unit, expected]), _Condition(1 / edge, edge, 0.04)),
    ]
    for value in (frame.x, frame.y):
        nose = _row(graph, value, _NOSE_PLACE)
        checks.append((graph.node("Div", [nose, graph.constant(float(stride))]), _NEAR))
    margins = [_margin(graph, value, condition) for value, condition in checks]
    worst = graph.node("ReduceMin", [graph.node("Concat", margins, axis=1)], axes=[1], keepdims=1)
    score = graph.node("Add", [worst, graph.constant(0.5)])
    return graph.node("Clip", [score, graph.constant(0.0), graph.constant(1.0)])


def _margin(graph: GraphBuilder, value: str, condition: _Condition) -> str:
    """How far inside its condition a value is: 0 on the edge, 0.5 at `soft` inside it."""
    above = graph.node("Sub", [value, graph.constant(condition.low)])
    below = graph.node("Sub", [graph.constant(condition.high), value])
    inside = graph.node("Min", [above, below])
    return graph.node("Mul", [inside, graph.constant(0.5 / condition.soft)])


def _box(graph: GraphBuilder, frame: _Frame, stride: int) -> str:
    """(2, 4, anchors): distances from the anchor to left, top, right and bottom of the face, in strides."""
    lower = graph.constant(_MIDDLE)
    middle_x, middle_y = (
        graph.node("Add", [_row(graph, value, _EYES_PLACE), graph.node("Mul", [_row(graph, value, _AXIS), lower])])
        for value in (frame.x, frame.y)
    )
    half_width = graph.node("Mul", [frame.unit, graph.constant(1.1)])
    half_height = graph.node("Mul", [frame.unit, graph.constant(1.4)])
    sides = [
        graph.node("Sub", [half_width, middle_x]),
        graph.node("Sub", [half_height, middle_y]),
        graph.node("Add", [half_width, middle_x]),
        graph.node("Add", [half_height, middle_y]),
    ]
    return graph.node("Div", [graph.node("Concat", sides, axis=1), graph.constant(float(stride))])


def _points(graph: GraphBuilder, x: str, y: str, stride: int) -> str:
    """(2, 10, anchors): x and y of each landmark from the anchor, in strides."""
    pairs = [graph.node("Unsqueeze", [value, graph.constant([2])]) for value in (x, y)]
    both = graph.node("Reshape", [graph.node("Concat", pairs, axis=2), graph.constant([2, 10, -1])])
    return graph.node("Div", [both, graph.constant(float(stride))])


def _flatten(graph: GraphBuilder, value: str, width: int, result: str) -> str:
    """(2, width, anchors) to SCRFD's (2 * anchors, width), the two anchors of a cell one after the other."""
    turned = graph.node("Transpose", [value], perm=[2, 0, 1])
    return graph.node("Reshape", [turned, graph.constant([-1, width])], result=result)


def _row(graph: GraphBuilder, value: str, row: int) -> str:
    return graph.node("Gather", [value, graph.constant([row])], axis=1)


def _square(graph: GraphBuilder, value: str) -> str:
    return graph.node("Mul", [value, value])
