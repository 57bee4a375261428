"""A detector's network: anchors in, and for those that see a face the box and the landmarks.

SCRFD ends at each of its levels in three convolutions of one map: scores, edges of boxes, and landmarks. The last two
are a fifth of the whole network's work at every position of the map, for the handful of positions that see a face. So
the network is cut there: a trunk gives scores and maps, and heads run at those positions only, on a piece of the map.
An element of a convolution comes of its 3 x 3 neighbours, in the same order wherever the piece is cut: the numbers are
the same to the bit, and whoever cuts a network has it proved (`split`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx.utils import Extractor

log = logging.getLogger(__name__)

Found = tuple[NDArray[np.float32], NDArray[np.float32]]

# What may stand between a head's convolution and its output: it moves and scales each number by itself.
_ELEMENTWISE: Final = frozenset({"Mul", "Reshape", "Transpose"})
_LOCAL: Final = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [1, 1], "dilations": [1, 1]}
# Pieces of each map that a cut is proved on, besides its corners.
_PROOFS: Final = 8


class Level(Protocol):
    """What a network says of the anchors of one level. Belongs to one thread."""

    scores: NDArray[np.float32]
    """Shape (anchors, 1)."""

    def at(self, rows: NDArray[np.intp]) -> Found:
        """Return edges (n, 4) and landmarks (n, 10) of n >= 1 anchors, in strides from their centres."""


class Network(Protocol):
    """A detector's network for one size of input. Thread-safe."""

    def run(self, blob: NDArray[np.float32 | np.uint8]) -> Sequence[Level]:
        """Return its levels. `blob`: (1, 3, height, width)."""


class Whole:
    """The network as it is."""

    def __init__(self, model: Any, session: Any) -> None:  # noqa: ANN401 - InsightFace and ONNX Runtime are untyped
        """`model`: InsightFace's SCRFD, with landmarks; `session`: its session for the size."""
        self._session = session
        self._input, self._outputs, self._levels = model.input_name, model.output_names, model.fmc

    def run(self, blob: NDArray[np.float32 | np.uint8]) -> Sequence[Level]:
        """Run all of it."""
        outputs = self._session.run(self._outputs, {self._input: blob})
        return [_Ready(*outputs[level :: self._levels]) for level in range(self._levels)]


class _Ready:
    """A level all of whose anchors are worked out."""

    def __init__(self, scores: NDArray[np.float32], edges: NDArray[np.float32], points: NDArray[np.float32]) -> None:
        self.scores = scores.reshape(-1, 1)
        self._edges, self._points = edges.reshape(-1, 4), points.reshape(-1, 10)

    def at(self, rows: NDArray[np.intp]) -> Found:
        return self._edges[rows], self._points[rows]


@dataclass(frozen=True, slots=True)
class _Head:
    """What makes edges and landmarks of a piece of a level's map."""

    session: Any
    map: str
    outputs: tuple[str, str]


class Split:
    """The network cut into a trunk and the heads of its levels."""

    def __init__(self, model: Any, trunk: Any, heads: Sequence[_Head]) -> None:  # noqa: ANN401 - as above
        self.trunk, self.heads = trunk, heads
        self._input = model.input_name
        self._outputs = [*model.output_names[: len(heads)], *(head.map for head in heads)]

    def run(self, blob: NDArray[np.float32 | np.uint8]) -> Sequence[Level]:
        """Run the trunk."""
        outputs = self.trunk.run(self._outputs, {self._input: blob})
        count = len(self.heads)
        return [_Asked(*each) for each in zip(outputs[:count], outputs[count:], self.heads, strict=True)]


class _Asked:
    """A level of whose anchors those are worked out that are asked for."""

    def __init__(self, scores: NDArray[np.float32], map_: NDArray[np.float32], head: _Head) -> None:
        self.scores = scores.reshape(-1, 1)
        self._map, self._head = map_, head

    def at(self, rows: NDArray[np.intp]) -> Found:
        height, width = self._map.shape[2:]
        anchors = len(self.scores) // (height * width)
        position, anchor = np.divmod(rows, anchors)
        y, x = np.divmod(position, width)
        # With the neighbours that a convolution looks at. Where the map ends it adds zeros, as in the whole.
        top, bottom = max(0, int(y.min()) - 1), min(height, int(y.max()) + 2)
        left, right = max(0, int(x.min()) - 1), min(width, int(x.max()) + 2)
        piece = np.ascontiguousarray(self._map[:, :, top:bottom, left:right])
        edges, points = self._head.session.run(self._head.outputs, {self._head.map: piece})
        inside = ((y - top) * (right - left) + x - left) * anchors + anchor
        return edges.reshape(-1, 4)[inside], points.reshape(-1, 10)[inside]


def split(models: Sequence[Any], size: tuple[int, int], whole: Network) -> list[Split] | None:
    """Return the network of each of `models`, cut, or None where it is of another form than is known here.

    `models`: InsightFace's SCRFD of one file, each with its own session options, on the CPU; `size`: height and width
    of the input; `whole`: what the results must equal. Proved here on pieces of noise, at the borders of each map and
    elsewhere: a network whose parts differ from the whole in one bit is not cut.
    """
    try:
        graph = onnx.load(models[0].model_file)
        maps = _maps(graph.graph, models[0])
        trunk, heads = _cut(graph, models[0], maps, size)
        networks = [_open(model, trunk, heads, maps) for model in models]
        for network in networks:
            _prove(network, whole, models[0], size)
    except Exception as error:  # noqa: BLE001 - of ONNX, ONNX Runtime, or below; the whole is as good, and slower
        log.info("the detector's network is run as a whole: %s", error)
        return None
    return networks


def _maps(graph: onnx.GraphProto, model: Any) -> list[str]:  # noqa: ANN401 - as above
    """Return the name of the map that edges and landmarks of each level are convolutions of, or raise ValueError."""
    makers = {name: node for node in graph.node for name in node.output}
    levels = model.fmc
    maps = [_convolved(makers, name) for name in model.output_names[levels:]]
    if maps[:levels] != maps[levels:]:
        raise ValueError("its edges and landmarks come of different maps")
    return maps[:levels]


def _convolved(makers: Mapping[str, onnx.NodeProto], output: str) -> str:
    """Return what an output is made of by one convolution with the next neighbours, or raise ValueError."""
    node = makers.get(output)
    while node is not None and node.op_type in _ELEMENTWISE:
        node = makers.get(node.input[0])
    attributes = {} if node is None else {each.name: list(each.ints) for each in node.attribute}
    if node is None or node.op_type != "Conv" or not _LOCAL.items() <= attributes.items():
        raise ValueError(f"its output {output} does not come of a convolution of 3 x 3")
    return node.input[0]


def _cut(
    graph: onnx.ModelProto,
    model: Any,  # noqa: ANN401 - as above
    maps: Sequence[str],
    size: tuple[int, int],
) -> tuple[bytes, list[bytes]]:
    """Return the trunk for inputs of `size`, and the heads for pieces of any."""
    del graph.graph.value_info[:]
    levels, parts = model.fmc, Extractor(onnx.shape_inference.infer_shapes(graph))
    trunk = parts.extract_model([model.input_name], [*model.output_names[:levels], *maps])
    heads = [parts.extract_model([name], model.output_names[levels + i :: levels]) for i, name in enumerate(maps)]
    for part in (trunk, *heads):
        # What was known of shapes is of the whole.
        del part.graph.value_info[:]
        for each in part.graph.output:
            each.type.tensor_type.ClearField("shape")
    for name, length in zip((2, 3), size, strict=True):
        trunk.graph.input[0].type.tensor_type.shape.dim[name].dim_value = length
        for head in heads:
            head.graph.input[0].type.tensor_type.shape.dim[name].Clear()
    return trunk.SerializeToString(), [head.SerializeToString() for head in heads]


def _open(model: Any, trunk: bytes, heads: Sequence[bytes], maps: Sequence[str]) -> Split:  # noqa: ANN401 - as above
    options, providers = model.session.get_session_options(), model.session.get_providers()

    def session(part: bytes) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(part, options, providers)

    levels = model.fmc
    opened = [
        _Head(session(head), name, tuple(model.output_names[levels + i :: levels]))
        for i, (head, name) in enumerate(zip(heads, maps, strict=True))
    ]
    return Split(model, session(trunk), opened)


def _prove(network: Network, whole: Network, model: Any, size: tuple[int, int]) -> None:  # noqa: ANN401 - as above
    """Raise ArithmeticError unless a network gives what the whole gives, to the bit."""
    noise = np.random.default_rng(0)
    dtype = getattr(model, "input_dtype", np.float32)
    blob = (noise.integers(0, 256, (1, 3, *size)) / (1 if dtype == np.uint8 else 256)).astype(dtype)
    for part, expected in zip(network.run(blob), whole.run(blob), strict=True):
        last = len(part.scores) - 1
        pieces = [np.array([0]), np.array([last]), np.array([0, last])]
        pieces += [np.unique(noise.integers(0, last, 3)) for _ in range(_PROOFS)]
        if not np.array_equal(part.scores, expected.scores) or not all(
            np.array_equal(*pair) for rows in pieces for pair in zip(part.at(rows), expected.at(rows), strict=True)
        ):
            raise ArithmeticError("its parts do not give what the whole gives")
