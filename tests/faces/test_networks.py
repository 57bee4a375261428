"""A detector's network that is cut gives what the whole gives, and one that can't be cut is run as it is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from gerbang_service.faces.networks import Split, Whole, split

_SIZE = 64
_STRIDES = (8, 16, 32)
_CHANNELS = 8


def test_a_cut_network_gives_the_numbers_of_the_whole_for_any_anchors(model: Any) -> None:
    """At corners, borders, within, and for all anchors at once."""
    whole, cut = Whole(model, model.session), _cut(model)
    blob = np.random.default_rng(1).uniform(-1, 1, (1, 3, _SIZE, _SIZE)).astype(np.float32)
    for part, expected in zip(cut.run(blob), whole.run(blob), strict=True):
        count = len(expected.scores)
        assert np.array_equal(part.scores, expected.scores)
        for rows in ([0], [1], [count - 1], [0, count - 1], range(0, count, 3), range(count)):
            found = part.at(np.array(rows))
            for mine, others in zip(found, expected.at(np.array(rows)), strict=True):
                assert mine.tobytes() == others.tobytes()


def test_a_trunk_does_without_the_heads(model: Any) -> None:
    """The work on boxes and landmarks of all anchors is left out, or cutting would be for nothing."""
    outputs = [each.name for each in _cut(model).trunk.get_outputs()]
    assert not {"edges8", "points8"} & set(outputs)
    assert {"scores8", "map8"} <= set(outputs)


@pytest.mark.parametrize("change", ["wider kernel", "another map", "something between"])
def test_a_network_of_another_form_is_run_as_a_whole(tmp_path: Path, change: str) -> None:
    """Where an anchor's box comes of more than its neighbours in one map, nothing is cut."""
    model = _model(tmp_path, change)
    assert split([model], (_SIZE, _SIZE), Whole(model, model.session)) is None


def test_parts_that_give_other_numbers_are_not_used(model: Any) -> None:
    """One bit of one landmark is enough."""

    class Other(Whole):
        def run(self, blob: Any) -> Any:
            levels = super().run(blob)
            edges, points = levels[-1].at(np.arange(len(levels[-1].scores)))
            points[0, 9] = np.nextafter(points[0, 9], np.float32(9))
            levels[-1].at = lambda rows: (edges[rows], points[rows])  # type: ignore[method-assign]
            return levels

    assert split([model], (_SIZE, _SIZE), Other(model, model.session)) is None


def _cut(model: Any) -> Split:
    networks = split([model], (_SIZE, _SIZE), Whole(model, model.session))
    assert networks is not None
    return networks[0]


@pytest.fixture
def model(tmp_path: Path) -> Any:
    """What `split` needs of InsightFace's SCRFD, with a small network of its form and random weights."""
    return _model(tmp_path)


def _model(folder: Path, change: str = "") -> Any:
    file = folder / "detector.onnx"
    onnx.save(_network(change), file)
    names = [f"{kind}{stride}" for kind in ("scores", "edges", "points") for stride in _STRIDES]
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return SimpleNamespace(model_file=str(file), session=session, input_name="image", output_names=names, fmc=3)


def _network(change: str) -> onnx.ModelProto:
    noise = np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def constant(name: str, value: Any) -> str:
        weights.append(numpy_helper.from_array(value, name))
        return name

    def convolve(source: str, target: str, shape: tuple[int, int, int], stride: int = 1) -> str:
        side = shape[2]
        weight = constant(f"{target}.weight", noise.normal(size=(*shape, side)).astype(np.float32))
        pads, steps = [side // 2] * 4, [stride] * 2
        nodes.append(
            helper.make_node(
                "Conv", [source, weight], [target], kernel_shape=[side] * 2, pads=pads, strides=steps, dilations=[1, 1]
            )
        )
        return target

    def output(source: str, target: str, width: int) -> None:
        nodes.append(helper.make_node("Transpose", [source], [f"{target}.rows"], perm=[0, 2, 3, 1]))
        shape = constant(f"{target}.shape", np.array([-1, width], np.int64))
        nodes.append(helper.make_node("Reshape", [f"{target}.rows", shape], [target]))

    last, channels = "image", 3
    for stride in _STRIDES:
        last = convolve(last, f"deep{stride}", (_CHANNELS, channels, 3), 8 if channels == 3 else 2)
        channels = _CHANNELS
        nodes.append(helper.make_node("Relu", [last], [f"map{stride}"]))
        map_ = f"map{stride}"
        for kind, width in (("scores", 1), ("edges", 4), ("points", 10)):
            odd = stride == _STRIDES[-1] and kind == "points"
            source = last if odd and change == "another map" else map_
            side = 5 if odd and change == "wider kernel" else 3
            made = convolve(source, f"{kind}{stride}.made", (2 * width, _CHANNELS, side))
            if odd and change == "something between":
                nodes.append(helper.make_node("Softmax", [made], [f"{made}.soft"], axis=3))
                made = f"{made}.soft"
            output(made, f"{kind}{stride}", width)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "height", "width"])
    outputs = [
        helper.make_tensor_value_info(f"{kind}{stride}", TensorProto.FLOAT, [None, width])
        for kind, width in (("scores", 1), ("edges", 4), ("points", 10))
        for stride in _STRIDES
    ]
    graph = helper.make_graph(nodes, "detector", [image], outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
