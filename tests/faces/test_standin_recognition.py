"""The stand-in pack tells drawn people apart, through InsightFace itself."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import cv2
import numpy as np
import pytest

from faces.drawn_faces import Found, aligned, the_one
from gerbang_service.faces.standin import STAND_IN_THRESHOLD
from gerbang_service.faces.standin.drawing import (
    DrawnFace,
    Image,
    Scene,
    crowd_scene,
    draw,
    draw_face,
    encode_jpeg,
    encode_png,
    ordinary_scene,
)


def test_people_in_a_crowd_are_recognised(app: Any) -> None:
    """Of two people side by side each matches their own photo and not the other's."""
    faces: list[Found] = app.get(draw(crowd_scene((11, 12), seed=4, inter_eye=60)))
    left, right = sorted(faces, key=lambda face: float(face.bbox[0]))
    for found, own, other in ((left, 11, 12), (right, 12, 11)):
        assert found.normed_embedding @ the_one(app, draw_face(own)).normed_embedding > STAND_IN_THRESHOLD
        assert found.normed_embedding @ the_one(app, draw_face(other)).normed_embedding < STAND_IN_THRESHOLD


def test_genuine_and_impostor_similarities_are_apart(app: Any) -> None:
    """Of sixty people with three photos each all mates pass the threshold and no two people do."""
    people, photos = 60, 3
    scenes = [ordinary_scene(person, 50 + i, width=180, height=240) for person in range(people) for i in range(photos)]
    templates = np.array([the_one(app, draw(scene)).normed_embedding for scene in scenes])
    similarities = templates @ templates.T
    same = np.kron(np.eye(people, dtype=bool), np.ones((photos, photos), dtype=bool))
    upper = np.triu(np.ones_like(same), 1)
    genuine, impostor = similarities[same & upper], similarities[~same & upper]
    assert genuine.min() >= STAND_IN_THRESHOLD + 0.05
    assert impostor.max() < STAND_IN_THRESHOLD - 0.05
    assert abs(impostor.mean()) < 0.02
    assert impostor.std() < 0.15
    assert genuine.mean() > 0.8


def test_aged_out_of_recognition_is_no_match(app: Any) -> None:
    """A person drawn as wholly changed no longer matches their old photo, and half changed still does."""
    old, half, all_new = (
        the_one(app, draw(Scene((DrawnFace(9, 150, 190, 55, aged=aged),), seed=seed))).normed_embedding
        for seed, aged in ((1, 0.0), (2, 0.5), (3, 1.0))
    )
    assert old @ half > STAND_IN_THRESHOLD
    assert old @ all_new < STAND_IN_THRESHOLD


def decode(data: bytes) -> Image:
    """Decode a file to BGR."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image.astype(np.uint8)


def test_encoded_photo_is_recognised(app: Any) -> None:
    """A photo matches itself after JPEG at quality 80, and PNG keeps every pixel."""
    image = draw_face(21)
    jpeg, png = decode(encode_jpeg(image, 80)), decode(encode_png(image))
    assert np.array_equal(png, image)
    assert the_one(app, jpeg).normed_embedding @ the_one(app, image).normed_embedding > 0.95


def test_template_of_a_flat_crop_is_finite(app: Any) -> None:
    """A crop without any detail still gives a finite template of unit length."""
    template = app.models["recognition"].get_feat(np.full((112, 112, 3), 90, dtype=np.uint8))
    assert np.isfinite(template).all()
    assert np.linalg.norm(template) == pytest.approx(1.0, abs=1e-5)


def test_batch_of_crops_gives_the_templates_of_each(app: Any) -> None:
    """Three crops recognised at once give what they give one by one."""
    recogniser = app.models["recognition"]
    crops = [aligned(image, the_one(app, image)) for image in (draw_face(person) for person in (1, 2, 3))]
    together = recogniser.get_feat(crops)
    assert together.shape == (3, 128)
    assert np.allclose(together, np.vstack([recogniser.get_feat(crop) for crop in crops]), atol=1e-5)
    assert all(abs(float(a @ b)) < STAND_IN_THRESHOLD for a, b in combinations(together, 2))
