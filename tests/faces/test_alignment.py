"""Faces are brought to the place that InsightFace brings them to."""

from __future__ import annotations

import numpy as np
import pytest
from insightface.utils import face_align

from gerbang_service.faces.alignment import align, similarity_transform


@pytest.mark.parametrize("side", [112, 224, 128, 256])
def test_transform_is_that_of_insightface(side: int) -> None:
    """The transform of any five points is `estimate_norm`'s, to the bit."""
    random = np.random.default_rng(side)
    for _ in range(50):
        landmarks = random.normal(100, 80, (5, 2)).astype(np.float32)
        assert np.array_equal(similarity_transform(landmarks, side), face_align.estimate_norm(landmarks, side))


def test_landmarks_in_one_point_are_no_error() -> None:
    """A detector that puts all landmarks in one place gets a crop, which the quality check then rejects."""
    crop = align(np.full((50, 60, 3), 9, np.uint8), np.full((5, 2), 20, np.float32), 112)
    assert crop.shape == (112, 112, 3)
