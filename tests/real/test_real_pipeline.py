"""Each stage that is done otherwise than InsightFace does it gives InsightFace's result."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from insightface.utils import face_align

from gerbang_service.domain.errors import FaceRejected
from gerbang_service.domain.faces import FaceChoice
from gerbang_service.faces.alignment import align
from gerbang_service.faces.decode import ImageLimits, decode
from gerbang_service.faces.networks import Split
from gerbang_service.faces.packs import FacePack, open_pack
from gerbang_service.faces.pipeline import InsightFacePipeline
from gerbang_service.faces.quality import PROBE

LIMITS = ImageLimits(10_000_000, 25_000_000)


@pytest.fixture(scope="module")
def pack(real_pack: Path) -> FacePack:
    """The real pack at the default size."""
    return open_pack(str(real_pack), 320, threads=2)


@pytest.fixture(scope="module")
def files(real_faces: Path) -> list[bytes]:
    """Sixty photographs."""
    paths = sorted(real_faces.glob("*/*.jpg"))
    return [path.read_bytes() for path in paths[:: len(paths) // 60][:60]]


def test_decoded_pixels_are_those_of_opencv(files: list[bytes]) -> None:
    """JPEG photographs have the pixels that cv2.imread, which InsightFace's users use, gives."""
    for file in files:
        expected = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
        assert expected is not None
        assert np.array_equal(decode(file, LIMITS), expected)


@pytest.mark.parametrize("det_size", [160, 320, 640])
def test_detections_are_those_of_insightface_to_the_bit(real_pack: Path, files: list[bytes], det_size: int) -> None:
    """Boxes, scores and landmarks, of whole photographs, of upright and wide cuttings, and of four people at once."""
    detector = open_pack(str(real_pack), det_size).detector
    found = 0
    for i, file in enumerate(files[:24]):
        photo = decode(file, LIMITS)
        pieces: list[Any] = [photo, photo[:, 40:170], photo[30:190], np.tile(photo, (2, 2, 1)), photo[:3, :1]]
        image = np.ascontiguousarray(pieces[i % len(pieces)])
        boxes, landmarks = detector.detect(image)
        expected_boxes, expected_landmarks = detector.model.detect(image)
        assert np.array_equal(boxes, expected_boxes)
        assert np.array_equal(landmarks, expected_landmarks)
        found += len(boxes)
    assert found >= 24


def test_boxes_are_worked_out_only_where_faces_are(pack: FacePack) -> None:
    """The network of a real pack can be cut, so that what is equal above is not the whole network with itself."""
    assert isinstance(pack.detector.network, Split)
    assert isinstance(pack.detector.wide_network, Split)


def test_templates_are_those_of_insightface(pack: FacePack, files: list[bytes]) -> None:
    """Every face that is found gets the template of InsightFace's own norm_crop and get_feat: cosine >= 0.9999."""
    for file in files:
        photo = decode(file, LIMITS)
        for landmarks in pack.detector.detect(photo)[1]:
            crop = face_align.norm_crop(photo, landmark=landmarks, image_size=pack.embedder.side)
            expected = pack.embedder.model.get_feat(crop).ravel()
            assert np.array_equal(align(photo, landmarks, pack.embedder.side), crop)
            template = pack.embedder.embed([align(photo, landmarks, pack.embedder.side)])[0]
            assert float(template @ expected) / float(np.linalg.norm(expected)) >= 0.9999


def test_an_image_alone_gets_the_answer_that_it_gets_in_a_crowd(pack: FacePack, files: list[bytes]) -> None:
    """Networks run by several threads give the template, to the bit, that they give by one."""
    pipeline = InsightFacePipeline(pack, LIMITS)

    def template(file: bytes) -> bytes | None:
        try:
            return pipeline.extract(file, FaceChoice.LARGEST, PROBE, lambda: None).vector.tobytes()
        except FaceRejected:
            return None

    alone = [template(file) for file in files]
    with ThreadPoolExecutor(4) as pool:
        crowded = list(pool.map(template, files))
    assert alone == crowded
    assert sum(each is not None for each in alone) >= 55
