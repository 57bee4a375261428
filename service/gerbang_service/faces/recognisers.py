"""Which recogniser a folder has: one, that faces can be aligned for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import onnx
from insightface.model_zoo.package_manifest import has_model_package_manifest

from gerbang_service.domain.errors import StartupError

# InsightFace tells networks apart by their inputs: these sides are of other kinds, and of those from 112 on a multiple
# of 16 is taken for a recogniser, as is one of more than these outputs for a detector.
_SIDE_OF_LANDMARKS, _SIDE_OF_ATTRIBUTES, _SIDE_OF_SWAPPER = 192, 96, 128
_LEAST_SIDE, _MULTIPLE_OF = 112, 16
_OUTPUTS_OF_DETECTOR = 5
# The crop is made as InsightFace makes it, which knows where a face belongs in crops of multiples of these.
_ALIGNED: Final = (112, 128)


def require_one_recogniser(name: str, recognition: Any) -> None:  # noqa: ANN401 - InsightFace is untyped
    """Raise StartupError for a pack in which InsightFace would pick one of several recognisers, or misalign faces.

    `name`: of the pack; `recognition`: the recogniser that InsightFace loaded, of its folder.
    """
    side = int(recognition.input_size[0])
    if all(side % each for each in _ALIGNED):
        raise StartupError(
            f"face pack {name}: its recogniser takes crops of {side} pixels, and faces can be aligned for multiples of "
            f"{' or '.join(map(str, _ALIGNED))} only"
        )
    folder = Path(recognition.model_file).parent
    # A manifest says which file is the recogniser.
    if has_model_package_manifest(str(folder)):
        return
    found = sorted(each.name for each in folder.glob("*.onnx") if _is_recogniser(each))
    if len(found) > 1:
        raise StartupError(
            f"face pack {name} has several recognisers ({', '.join(found)}), and which one makes templates must not "
            "depend on the names of files: leave one there"
        )


def _is_recogniser(path: Path) -> bool:
    """Tell whether InsightFace takes a file for a recogniser."""
    graph = onnx.load(str(path), load_external_data=False).graph
    weights = {each.name for each in graph.initializer}
    inputs = [each for each in graph.input if each.name not in weights]
    if len(graph.output) >= _OUTPUTS_OF_DETECTOR or not inputs:
        return False
    sides = [each.dim_value for each in inputs[0].type.tensor_type.shape.dim][2:]
    if len(sides) != 2 or sides[0] != sides[1] or sides[0] in (_SIDE_OF_LANDMARKS, _SIDE_OF_ATTRIBUTES):
        return False
    if len(inputs) == 2 and sides[0] == _SIDE_OF_SWAPPER:
        return False
    return sides[0] >= _LEAST_SIDE and sides[0] % _MULTIPLE_OF == 0
