"""Every pipeline holds to the contract: that of InsightFace with two packs, and the fake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faces.contract import FacePipelineContract, Pictures
from gerbang_service.configuration.settings import STAND_IN
from gerbang_service.faces.decode import ImageLimits
from gerbang_service.faces.fake import FakePipeline, picture
from gerbang_service.faces.packs import FacePack, open_pack
from gerbang_service.faces.pipeline import InsightFacePipeline
from gerbang_service.faces.port import FacePipeline
from pictures import crowd, photo, saved

LIMITS = ImageLimits(10_000_000, 1_000_000)


def blank(width: int, height: int) -> bytes:
    """Return an image of nothing."""
    return saved(Image.new("RGB", (width, height), (120, 120, 120)), "PNG")


@pytest.fixture(scope="module")
def standin() -> FacePack:
    """The stand-in pack."""
    return open_pack(STAND_IN, 320, threads=2)


@pytest.fixture(scope="module")
def real(real_pack: Path) -> FacePack:
    """The real pack."""
    return open_pack(str(real_pack), 320, threads=2)


class TestFake(FacePipelineContract):
    """The fake, whose pictures are lines of text."""

    @pytest.fixture
    def dimension(self) -> int:
        return 64

    @pytest.fixture
    def pipeline(self, dimension: int) -> FacePipeline:
        return FakePipeline(dimension)

    @pytest.fixture
    def pictures(self) -> Pictures:
        return Pictures(picture(1), picture(1, shot=2), picture(2), picture(1, 2), picture(), picture(*range(5000)))


class TestStandInPack(FacePipelineContract):
    """InsightFace with the stand-in pack, on drawn people."""

    @pytest.fixture
    def dimension(self, standin: FacePack) -> int:
        return standin.dimension

    @pytest.fixture
    def pipeline(self, standin: FacePack) -> FacePipeline:
        return InsightFacePipeline(standin, LIMITS)

    @pytest.fixture
    def pictures(self) -> Pictures:
        return Pictures(photo(1), photo(1, 2), photo(2), crowd(1, 2), crowd(), blank(1001, 1000))


class TestRealPack(FacePipelineContract):
    """InsightFace with a real pack, on photographs."""

    @pytest.fixture
    def dimension(self, real: FacePack) -> int:
        return real.dimension

    @pytest.fixture
    def pipeline(self, real: FacePack) -> FacePipeline:
        return InsightFacePipeline(real, LIMITS)

    @pytest.fixture
    def pictures(self, real_faces: Path) -> Pictures:
        """Photographs of two people."""
        files = [sorted((real_faces / name).iterdir())[:2] for name in ("Gray_Davis", "Amelie_Mauresmo")]
        person, again, other = (each.read_bytes() for each in (files[0][0], files[0][1], files[1][0]))
        beside = np.concatenate([np.asarray(Image.open(each[0]).convert("RGB")) for each in files], axis=1)
        both = saved(Image.fromarray(beside), "PNG")
        return Pictures(person, again, other, both, blank(320, 320), blank(1001, 1000))
