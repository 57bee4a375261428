"""Face packs by name: what InsightFace fetches, and what nobody does."""

from __future__ import annotations

from pathlib import Path

import insightface.utils
import pytest

from gerbang_service.configuration.settings import STAND_IN
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
