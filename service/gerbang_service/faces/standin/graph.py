"""Building ONNX graphs: a thin layer over `onnx.helper` that names constants and nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OPSET = 17  # with IR 8: read by every ONNX Runtime since 1.12
_IR = 8


class GraphBuilder:
    """Collect nodes and constants; `model` makes a checked ONNX model of them.

    Every node is named after its result and never after its operation: InsightFace takes a recogniser whose
    first nodes are called `Sub...` and `Mul...` for one that normalises its own input.
    """

    def __init__(self) -> None:
        """Start an empty graph."""
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[np.float32] | NDArray[np.int64] | Sequence[int] | float) -> str:
        """Add a constant (integers become int64, everything else float32) and return its name."""
        array = np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def node(
        self,
        operation: str,
        inputs: Sequence[str],
        *,
        result: str | None = None,
        **options: int | Sequence[int],
    ) -> str:
        """Add a node with one result and return its name; `options` are the operation's attributes."""
        name = result or f"value_{len(self._nodes)}"
        node = helper.make_node(operation, list(inputs), [name], name=f"node_{name}")
        node.attribute.extend(helper.make_attribute(key, value) for key, value in options.items())
        self._nodes.append(node)
        return name

    def model(
        self,
        name: str,
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Mapping[str, Sequence[int | str]],
        note: str,
    ) -> onnx.ModelProto:
        """Return the model, checked; shapes may name dimensions that are only known when it runs."""
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in inputs.items()],
            [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in outputs.items()],
            self._constants,
            doc_string=note,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR,
            producer_name="gerbang",
            doc_string=note,
        )
        onnx.checker.check_model(model, full_check=True)
        return model
