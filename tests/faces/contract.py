"""What every FacePipeline holds to. A subclass says which pipeline, and gives it pictures."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from gerbang_service.domain.errors import FaceTooSmall, ImageTooLarge, ImageUnreadable, NoFace, SeveralFaces
from gerbang_service.domain.faces import ExtractedFace, FaceChoice
from gerbang_service.faces.port import FacePipeline
from gerbang_service.faces.quality import PROBE


@dataclass(frozen=True, slots=True)
class Pictures:
    """Image files: two of one person, one of another, of several people, of nobody; and one that is too large."""

    person: bytes
    again: bytes
    other: bytes
    several: bytes
    nobody: bytes
    too_large: bytes


class GaveUp(Exception):
    """Nobody waits any more."""


def extract(pipeline: FacePipeline, image: bytes, choice: FaceChoice = FaceChoice.LARGEST) -> ExtractedFace:
    """Extract as a gate's probe is."""
    return pipeline.extract(image, choice, PROBE, lambda: None)


def template(pipeline: FacePipeline, image: bytes) -> NDArray[np.float32]:
    """Return the template alone."""
    return extract(pipeline, image).vector


class FacePipelineContract:
    """A subclass has fixtures `pipeline`, a FacePipeline, `pictures`, and `dimension`, of its templates."""

    def test_a_template_is_a_unit_vector(self, pipeline: FacePipeline, pictures: Pictures, dimension: int) -> None:
        vector = template(pipeline, pictures.person)
        assert vector.dtype == np.float32
        assert vector.shape == (dimension,)
        assert vector.flags.c_contiguous
        assert abs(np.linalg.norm(vector.astype(np.float64)) - 1) < 1e-5

    def test_it_says_what_stands_before_the_recogniser(self, pipeline: FacePipeline) -> None:
        chain = pipeline.chain
        assert re.fullmatch("[0-9a-f]{64}", chain.detector)
        assert chain.detector_size >= 0
        assert chain.alignment

    def test_the_same_person_is_more_similar_than_another(self, pipeline: FacePipeline, pictures: Pictures) -> None:
        person, again, other = (template(pipeline, each) for each in (pictures.person, pictures.again, pictures.other))
        assert person @ again > person @ other + 0.2

    def test_the_same_picture_gives_the_same_template_in_any_thread(
        self, pipeline: FacePipeline, pictures: Pictures
    ) -> None:
        files = [pictures.person, pictures.again, pictures.other]
        alone = [template(pipeline, each).tobytes() for each in files]
        with ThreadPoolExecutor(4) as threads:
            crowded = list(threads.map(lambda each: template(pipeline, each).tobytes(), files * 4))
        assert crowded == alone * 4

    def test_a_face_is_told_with_where_it_is(self, pipeline: FacePipeline, pictures: Pictures) -> None:
        face = extract(pipeline, pictures.person).face
        left, top, right, bottom = face.box
        assert 0 <= face.detection_score <= 1
        assert len(face.landmarks) == 5
        assert all(left <= x <= right and top <= y <= bottom for x, y in face.landmarks)
        (one, _), (two, _) = face.landmarks[:2]
        assert one < two
        assert face.quality.inter_eye_px == pytest.approx(two - one, rel=0.2)

    def test_of_several_the_largest_is_taken_unless_there_must_be_one(
        self, pipeline: FacePipeline, pictures: Pictures
    ) -> None:
        extract(pipeline, pictures.several)
        with pytest.raises(SeveralFaces):
            extract(pipeline, pictures.several, FaceChoice.ONLY)
        extract(pipeline, pictures.person, FaceChoice.ONLY)

    def test_a_picture_of_nobody_has_no_face(self, pipeline: FacePipeline, pictures: Pictures) -> None:
        with pytest.raises(NoFace):
            extract(pipeline, pictures.nobody)

    @pytest.mark.parametrize("image", [b"", b"no picture", bytes(1000)], ids=["empty", "text", "zeros"])
    def test_what_is_no_picture_is_unreadable(self, pipeline: FacePipeline, image: bytes) -> None:
        with pytest.raises(ImageUnreadable):
            extract(pipeline, image)

    def test_what_is_too_large_is_refused(self, pipeline: FacePipeline, pictures: Pictures) -> None:
        with pytest.raises(ImageTooLarge):
            extract(pipeline, pictures.too_large)

    def test_a_rejection_says_what_was_measured(self, pipeline: FacePipeline, pictures: Pictures) -> None:
        strict = replace(PROBE, min_inter_eye_px=10_000.0)
        with pytest.raises(FaceTooSmall) as rejected:
            pipeline.extract(pictures.person, FaceChoice.LARGEST, strict, lambda: None)
        assert rejected.value.face == extract(pipeline, pictures.person).face
        assert rejected.value.metadata["limit"] == "10000"

    def test_giving_up_before_any_stage_passes_through_and_harms_nobody(
        self, pipeline: FacePipeline, pictures: Pictures
    ) -> None:
        stages = 0

        def count() -> None:
            nonlocal stages
            stages += 1

        whole = pipeline.extract(pictures.person, FaceChoice.LARGEST, PROBE, count)
        assert stages >= 1
        for last in range(stages):
            left = last

            def give_up() -> None:
                nonlocal left
                if not left:
                    raise GaveUp
                left -= 1

            with pytest.raises(GaveUp):
                pipeline.extract(pictures.person, FaceChoice.LARGEST, PROBE, give_up)
        assert template(pipeline, pictures.person).tobytes() == whole.vector.tobytes()
