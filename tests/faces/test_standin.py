"""The stand-in pack finds drawn faces, and only those, and tells them apart, all through InsightFace itself."""

from __future__ import annotations

import os
import warnings
from itertools import combinations
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from gerbang_service.faces.standin import STAND_IN_THRESHOLD, write_pack
from gerbang_service.faces.standin.drawing import (
    DrawnFace,
    Image,
    Problem,
    Scene,
    crowd_scene,
    draw,
    draw_face,
    encode_jpeg,
    encode_png,
    landmarks,
    ordinary_scene,
    spoil,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # InsightFace's own imports warn
    from insightface.app import FaceAnalysis
    from insightface.utils import face_align

# InsightFace aligns with a scikit-image call that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:.*estimate.*:FutureWarning")

PHOTOS = Path(os.environ.get("GERBANG_TEST_FACES", Path(__file__).parents[2].parent / "shared" / "faces" / "lfw"))


class Found(Protocol):
    """What InsightFace says of a face."""

    kps: NDArray[np.float32]
    bbox: NDArray[np.float32]
    det_score: float
    normed_embedding: NDArray[np.float32]


def load(folder: Path, det_size: int) -> Any:
    """Load the pack in `folder` with InsightFace."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    app = FaceAnalysis(
        name=str(folder),
        allowed_modules=["detection", "recognition"],
        providers=["CPUExecutionProvider"],
        sess_options=options,
    )
    app.prepare(ctx_id=-1, det_thresh=0.5, det_size=(det_size, det_size))
    return app


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the pack, once."""
    folder = tmp_path_factory.mktemp("pack")
    write_pack(folder)
    return folder


@pytest.fixture(scope="module")
def apps(folder: Path) -> dict[int, Any]:
    """Load the pack for either size of the detector's input."""
    return {size: load(folder, size) for size in (320, 640)}


@pytest.fixture(scope="module")
def app(apps: dict[int, Any]) -> Any:
    """Take the small detector."""
    return apps[320]


def the_one(app: Any, image: Image) -> Found:
    """Return the only face in a picture."""
    faces: list[Found] = app.get(image)
    assert len(faces) == 1
    return faces[0]


def landmark_error(found: Found, drawn: DrawnFace) -> float:
    """Return the largest distance of a landmark from where it was drawn, in pixels."""
    return float(np.hypot(*(found.kps - landmarks(drawn)).T).max())


def test_pack_is_the_same_bytes_every_time(folder: Path, tmp_path: Path) -> None:
    """The pack written twice has the same bytes, so that templates keep their model's fingerprint."""
    write_pack(tmp_path / "again")
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    second = {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}
    assert len(first) == 2
    assert first == second


def test_pack_says_what_it_is(folder: Path) -> None:
    """Both files carry a note that they are no face models for photographs of people."""
    for path in folder.iterdir():
        assert b"for photographs of people" in path.read_bytes()


def test_same_scene_is_the_same_picture() -> None:
    """A scene is drawn to the same pixels every time, and another seed gives other pixels."""
    assert np.array_equal(draw_face(3, 1), draw_face(3, 1))
    assert not np.array_equal(draw_face(3, 1), draw_face(3, 2))


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


def quality(image: Image, found: Found) -> dict[str, float]:
    """Measure inter-eye distance, sharpness and mean grey of the aligned crop, and the nose offset."""
    grey = cv2.cvtColor(face_align.norm_crop(image, found.kps), cv2.COLOR_BGR2GRAY)
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


def test_template_of_a_flat_crop_is_finite(app: Any) -> None:
    """A crop without any detail still gives a finite template of unit length."""
    template = app.models["recognition"].get_feat(np.full((112, 112, 3), 90, dtype=np.uint8))
    assert np.isfinite(template).all()
    assert np.linalg.norm(template) == pytest.approx(1.0, abs=1e-5)


def test_batch_of_crops_gives_the_templates_of_each(app: Any) -> None:
    """Three crops recognised at once give what they give one by one."""
    recogniser = app.models["recognition"]
    crops = [
        face_align.norm_crop(image, the_one(app, image).kps) for image in (draw_face(person) for person in (1, 2, 3))
    ]
    together = recogniser.get_feat(crops)
    assert together.shape == (3, 128)
    assert np.allclose(together, np.vstack([recogniser.get_feat(crop) for crop in crops]), atol=1e-5)
    assert all(abs(float(a @ b)) < STAND_IN_THRESHOLD for a, b in combinations(together, 2))


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
