"""Scenes are drawn the same every time, with the problems asked for, or refused."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from faces.drawn_faces import Found, aligned, the_one
from gerbang_service.faces.standin.drawing import (
    DrawnFace,
    Image,
    Problem,
    Scene,
    draw,
    draw_face,
    ordinary_scene,
    spoil,
)


def test_same_scene_is_the_same_picture() -> None:
    """A scene is drawn to the same pixels every time, and another seed gives other pixels."""
    assert np.array_equal(draw_face(3, 1), draw_face(3, 1))
    assert not np.array_equal(draw_face(3, 1), draw_face(3, 2))


def quality(image: Image, found: Found) -> dict[str, float]:
    """Measure inter-eye distance, sharpness and mean grey of the aligned crop, and the nose offset."""
    grey = cv2.cvtColor(aligned(image, found), cv2.COLOR_BGR2GRAY)
    across = found.kps[1] - found.kps[0]
    nose = found.kps[2] - found.kps[:2].mean(axis=0)
    return {
        "inter_eye": float(np.hypot(*across)),
        "sharpness": float(cv2.Laplacian(grey, cv2.CV_64F).var()),
        "brightness": float(grey.mean()),
        "turn": float(abs(nose @ across) / (across @ across)),
    }


@pytest.mark.parametrize(
    ("problem", "measure", "low", "high"),
    [
        (Problem.SMALL, "inter_eye", 9, 13),
        (Problem.BLURRED, "sharpness", 0, 10),
        (Problem.DARK, "brightness", 0, 30),
        (Problem.BRIGHT, "brightness", 236, 255),
        (Problem.TURNED, "turn", 0.75, 1.0),
    ],
)
def test_spoilt_photo_is_found_with_its_problem(
    app: Any, problem: Problem, measure: str, low: float, high: float
) -> None:
    """A spoilt photo's face is still found, and the measure that should show the problem does, as none did before."""
    for identity in range(6):
        scene = ordinary_scene(identity, 300 + identity)
        fine, spoilt = draw(scene), draw(spoil(scene, problem))
        assert low <= quality(spoilt, the_one(app, spoilt))[measure] <= high
        assert not low <= quality(fine, the_one(app, fine))[measure] <= high


@pytest.mark.parametrize(
    "wrong",
    [{"identity": -1}, {"inter_eye": 0.0}, {"inter_eye": float("nan")}, {"yaw": 61.0}, {"aged": 1.5}],
)
def test_face_that_cannot_be_drawn_is_refused(wrong: dict[str, Any]) -> None:
    """A face out of range raises ValueError and names the field."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DrawnFace(**{"identity": 1, "x": 10.0, "y": 10.0, "inter_eye": 20.0, **wrong})


@pytest.mark.parametrize("wrong", [{"width": 0}, {"blur": -1.0}, {"brightness": -0.1}])
def test_scene_that_cannot_be_drawn_is_refused(wrong: dict[str, Any]) -> None:
    """A photo without pixels, or with a negative blur or light, raises ValueError."""
    with pytest.raises(ValueError, match="must"):
        Scene(**{"faces": (), **wrong})
