"""The stand-in pack finds drawn faces, and only those, through InsightFace itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from faces.drawn_faces import Found, landmark_error, the_one
from gerbang_service.faces.standin.drawing import DrawnFace, Scene, crowd_scene, draw, ordinary_scene

PHOTOS = Path(os.environ.get("GERBANG_TEST_FACES", Path(__file__).parents[2].parent / "shared" / "faces" / "lfw"))


def test_ordinary_photos_have_one_face_with_exact_landmarks(app: Any) -> None:
    """Each of thirty ordinary photos has exactly one face, with every landmark within a pixel of its place."""
    for identity in range(30):
        scene = ordinary_scene(identity, identity + 7)
        assert landmark_error(the_one(app, draw(scene)), scene.faces[0]) < 1.0


@pytest.mark.parametrize("det_size", [320, 640])
@pytest.mark.parametrize("inter_eye", [8, 11, 14, 19.5, 20.5, 36.7, 50, 67, 90, 109])
def test_all_sizes_are_found(apps: dict[int, Any], det_size: int, inter_eye: float) -> None:
    """Faces from 18 to 250 pixels wide are found once, at either detector size, landmarks within 1.5 pixels."""
    for identity, (tilt, yaw) in enumerate([(0, 0), (14, -12), (-14, 12)]):
        face = DrawnFace(identity, 160, 160, inter_eye, tilt, yaw)
        assert landmark_error(the_one(apps[det_size], draw(Scene((face,), 320, 320))), face) < 1.5


@pytest.mark.parametrize("tilt", [-25, 25])
def test_tilted_face_is_found(app: Any, tilt: float) -> None:
    """A head tilted by 25 degrees is found, and its box holds its landmarks."""
    face = DrawnFace(5, 150, 170, 45, tilt)
    found = the_one(app, draw(Scene((face,), 300, 340)))
    assert landmark_error(found, face) < 1.0
    assert (found.kps > found.bbox[:2]).all()
    assert (found.kps < found.bbox[2:]).all()


def test_face_partly_hidden_by_the_edge_is_still_one_face(app: Any) -> None:
    """A face whose hair and chin are cut off by the picture's edge is found if its landmarks are in it."""
    face = DrawnFace(8, 70, 75, 60)
    assert landmark_error(the_one(app, draw(Scene((face,), 140, 150))), face) < 1.5


@pytest.mark.parametrize("count", [0, 1, 2, 3, 6, 8])
def test_everyone_in_a_crowd_is_found_once(app: Any, count: int) -> None:
    """A picture of n people has n faces, none of them at another's place; an empty room has none."""
    scene = crowd_scene(tuple(range(30, 30 + count)), seed=count)
    faces: list[Found] = app.get(draw(scene))
    assert len(faces) == count
    for drawn in scene.faces:
        assert min(landmark_error(found, drawn) for found in faces) < 1.5


def test_nothing_is_found_in_noise_and_flat_colours(app: Any) -> None:
    """Noise of any grain and brightness, plain colours and checkers of them are not taken for faces."""
    rng = np.random.default_rng(1)
    for grain in (1, 4, 12, 40):
        for brightness in (0.1, 0.5, 1.0):
            small = rng.integers(0, int(256 * brightness), (240 // grain, 320 // grain, 3), dtype=np.uint8)
            for how in (cv2.INTER_NEAREST, cv2.INTER_CUBIC):
                assert app.get(cv2.resize(small, (320, 240), interpolation=how)) == []
    for colour in ((0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)):
        assert app.get(np.full((240, 320, 3), colour, dtype=np.uint8)) == []


def test_dots_in_the_wrong_places_are_not_a_face(app: Any) -> None:
    """A face upside down or seen in a mirror has every hue, but not where it belongs, and is not found."""
    image = draw(Scene((DrawnFace(2, 160, 160, 45),), 320, 320))
    assert len(app.get(image)) == 1
    assert app.get(np.ascontiguousarray(image[::-1])) == []
    assert app.get(np.ascontiguousarray(image[:, ::-1])) == []


@pytest.mark.skipif(
    not PHOTOS.is_dir() and not os.environ.get("CI"),
    reason=f"no photographs in {PHOTOS}; GERBANG_TEST_FACES names their folder",
)
def test_photographs_of_people_have_no_drawn_face(app: Any) -> None:
    """The stand-in finds nothing in a hundred photographs of real people."""
    paths = sorted(PHOTOS.glob("*/*.jpg"))
    assert len(paths) >= 100
    for path in paths[:: len(paths) // 100]:
        assert app.get(cv2.imread(str(path))) == [], path.name
