"""Face packs by name: what InsightFace fetches, and what nobody does."""

from __future__ import annotations

import shutil
from pathlib import Path

import insightface.utils
import onnx
import pytest
from onnx import TensorProto, helper

from gerbang_service.cli.doctor.finding import Level
from gerbang_service.cli.doctor.pack import PackCheck
from gerbang_service.configuration.settings import STAND_IN, Settings
from gerbang_service.domain.errors import StartupError
from gerbang_service.faces.packs import has_to_be_fetched, open_pack


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """InsightFace's folder of packs, empty, on a machine without a network."""

    def ensure_available(_: str, name: str) -> None:
        print("Downloading", name)
        raise ConnectionError("HTTPSConnectionPool" * 20)

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(insightface.utils, "ensure_available", ensure_available)
    folder = tmp_path / ".insightface/models"
    folder.mkdir(parents=True)
    return folder


def test_an_unknown_name_is_refused_before_anything_is_fetched(models: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The names that there are are told."""
    with pytest.raises(StartupError, match=r"nosuchpack: no such folder.*antelopev2, buffalo_l, buffalo_m"):
        open_pack("nosuchpack", 160)
    assert capfd.readouterr() == ("", "")
    assert list(models.iterdir()) == []


@pytest.mark.usefixtures("models")
def test_a_pack_that_can_not_be_fetched_is_told_in_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    """Without the library's own text, and with nothing on standard output, which is for "listening on"."""
    with pytest.raises(StartupError) as refused:
        open_pack("buffalo_s", 160)
    assert str(refused.value) == (
        "face pack buffalo_s can't be fetched (ConnectionError): without a network put its folder, from a machine with "
        "one, into ~/.insightface/models"
    )
    assert capfd.readouterr() == ("", "Downloading buffalo_s\n")


def test_what_is_on_this_machine_is_not_fetched(models: Path, tmp_path: Path) -> None:
    """A folder, one of any name among InsightFace's, and the stand-in."""
    (models / "ours").mkdir()
    assert not has_to_be_fetched(str(tmp_path))
    assert not has_to_be_fetched("ours")
    assert not has_to_be_fetched(STAND_IN)
    assert has_to_be_fetched("raccoon_s")


def with_side(side: int) -> onnx.ModelProto:
    """Return a recogniser of crops of another side: (n, 3, side, side) -> (n, 3), the mean of each colour."""
    crops = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, side, side])
    template = helper.make_tensor_value_info("template", TensorProto.FLOAT, ["n", 3])
    # From -1 for black: a template that is all zero would be none.
    nodes = [helper.make_node("ReduceMean", ["input"], ["template"], axes=[2, 3], keepdims=0)]
    graph = helper.make_graph(nodes, "means", [crops], [template])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_which_of_two_recognisers_counts_is_not_left_to_their_names(folder: Path, tmp_path: Path) -> None:
    """InsightFace takes the first by name. Both are named, by a start and by `gerbang doctor`, and none is taken."""
    pack = shutil.copytree(folder, tmp_path / "two")
    onnx.save(with_side(112), str(pack / "a_new_one.onnx"))
    with pytest.raises(StartupError, match=r"several recognisers \(a_new_one\.onnx, w_standin\.onnx\)"):
        open_pack(str(pack), 160)
    (found,) = PackCheck(Settings(data=tmp_path / "data", pack=str(pack), det_size=160))()
    assert (found.level, "several recognisers" in found.text) == (Level.FAIL, True)
    (pack / "w_standin.onnx").unlink()
    assert open_pack(str(pack), 160).dimension == 3


@pytest.mark.parametrize(("side", "aligned"), [(112, True), (128, True), (224, True), (160, False), (176, False)])
def test_a_recogniser_that_faces_can_not_be_aligned_for_is_refused(
    folder: Path,
    tmp_path: Path,
    side: int,
    aligned: bool,  # noqa: FBT001
) -> None:
    """In crops of other sides than multiples of 112 and 128 InsightFace itself does not know where a face belongs."""
    pack = shutil.copytree(folder, tmp_path / "pack")
    onnx.save(with_side(side), str(pack / "w_standin.onnx"))
    if aligned:
        assert open_pack(str(pack), 160).embedder.side == side
    else:
        with pytest.raises(StartupError, match=f"crops of {side} pixels"):
            open_pack(str(pack), 160)
