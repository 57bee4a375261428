"""Drawn people: pictures of faces that belong to nobody, for tests and demonstrations.

A person is a mosaic of low-saturation tiles over the face (that is the identity) and five saturated dots,
each in its own hue, where InsightFace puts its landmarks. The hues let the stand-in detector find a face with
plain arithmetic; the tiles let the stand-in recogniser tell people apart. Everything is a function of the
numbers in a `Scene`, so the same scene is the same picture, to the byte.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from gerbang_service.faces.standin.portrait import depth_at, paint_person

Image: TypeAlias = NDArray[np.uint8]
"""Shape (height, width, 3), BGR, 0..255: what OpenCV and InsightFace take."""

LANDMARKS: Final = ((-0.5, 0.0), (0.5, 0.0), (0.0, 0.575), (-0.415, 1.157), (0.415, 1.157))
"""Left eye, right eye, nose, left and right mouth corner as the picture shows them, in inter-eye distances
from the point between the eyes; InsightFace's alignment template has the same proportions."""

_FACE_CENTRE: Final = 0.55  # from the eyes down to the middle of the head
_NOSE_RISE: Final = 0.3  # how far the nose stands out of the face: turning the head moves it more than the eyes
_BACKDROPS: Final = ((206, 200, 192), (190, 196, 200), (198, 204, 196), (214, 208, 204), (178, 182, 190))


class Problem(StrEnum):
    """What can be wrong with the photo of a face that is still found."""

    SMALL = "small"
    BLURRED = "blurred"
    DARK = "dark"
    BRIGHT = "bright"
    TURNED = "turned"


@dataclass(frozen=True, slots=True)
class DrawnFace:
    """One person in a scene.

    `identity` is any integer >= 0; `x` and `y` are the middle of the head in pixels; `inter_eye` is the
    distance between the eyes of the face looking straight ahead, in pixels; `tilt` turns the head in the
    picture's plane (clockwise) and `yaw` to the picture's right, both in degrees. `aged` is how much the
    person has changed, 0 (not at all) to 1 (beyond recognition): two photos aged a and b are about sqrt((1 -
    a**2) * (1 - b**2)) similar.
    """

    identity: int
    x: float
    y: float
    inter_eye: float
    tilt: float = 0.0
    yaw: float = 0.0
    aged: float = 0.0

    def __post_init__(self) -> None:
        """Raise `ValueError` for a face that cannot be drawn."""
        if self.identity < 0:
            raise ValueError(f"identity must be >= 0, not {self.identity}")
        if not self.inter_eye > 0:
            raise ValueError(f"inter_eye must be > 0 pixels, not {self.inter_eye}")
        if not abs(self.yaw) <= 60:
            raise ValueError(f"yaw must be within 60 degrees, not {self.yaw}")
        if not 0 <= self.aged <= 1:
            raise ValueError(f"aged must be from 0 to 1, not {self.aged}")


@dataclass(frozen=True, slots=True)
class Scene:
    """One photo: who is in it and how it was taken.

    `width` and `height` are in pixels; `brightness` multiplies the light (1 is a well-exposed photo) before
    the sensor clips at 255; `blur` is the standard deviation of a Gaussian in pixels; `noise` is the standard
    deviation of the sensor's noise in grey levels; `seed` (>= 0) chooses backdrop, clothes, side light and
    noise.
    """

    faces: tuple[DrawnFace, ...]
    width: int = 300
    height: int = 400
    brightness: float = 1.0
    blur: float = 0.0
    noise: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise `ValueError` for a photo that cannot be drawn."""
        if self.width < 1 or self.height < 1:
            raise ValueError(f"the picture must have pixels, not {self.width}x{self.height}")
        if min(self.brightness, self.blur, self.noise) < 0:
            raise ValueError("brightness, blur and noise must be >= 0")


def ordinary_scene(identity: int, seed: int, *, width: int = 300, height: int = 400) -> Scene:
    """Return a photo such as a gate would accept; everything but the person varies with `seed` (>= 0)."""
    rng = np.random.default_rng((identity, seed, 1))
    inter_eye = min(width / 300, height / 400) * rng.uniform(46, 66)
    face = DrawnFace(
        identity=identity,
        x=width * 0.5 + rng.uniform(-0.45, 0.45) * inter_eye,
        y=height * 0.48 + rng.uniform(-0.4, 0.4) * inter_eye,
        inter_eye=inter_eye,
        tilt=float(np.clip(rng.normal(0, 5), -12, 12)),
        yaw=float(np.clip(rng.normal(0, 5), -10, 10)),
        aged=rng.uniform(0.2, 0.45),
    )
    return Scene(
        faces=(face,),
        width=width,
        height=height,
        brightness=rng.uniform(0.8, 1.12),
        blur=rng.uniform(0, 0.014) * inter_eye,
        noise=rng.uniform(1, 4),
        seed=seed,
    )


def crowd_scene(identities: tuple[int, ...], seed: int, *, inter_eye: float = 40.0, columns: int = 4) -> Scene:
    """Return several people, `columns` in a row, no two faces touching; without identities an empty room."""
    rng = np.random.default_rng((*identities, seed, 2))
    across = max(1, min(columns, len(identities)))
    down = max(1, math.ceil(len(identities) / columns))
    step_x, step_y = 3.2 * inter_eye, 4.2 * inter_eye
    faces = tuple(
        DrawnFace(
            identity=identity,
            x=step_x * (index % columns + 0.5) + rng.uniform(-0.15, 0.15) * inter_eye,
            y=step_y * (index // columns + 0.5) + rng.uniform(-0.15, 0.15) * inter_eye,
            inter_eye=inter_eye * rng.uniform(0.9, 1.1),
            tilt=rng.uniform(-6, 6),
            yaw=rng.uniform(-6, 6),
            aged=rng.uniform(0.2, 0.45),
        )
        for index, identity in enumerate(identities)
    )
    return Scene(faces=faces, width=round(step_x * across), height=round(step_y * down), seed=seed)


def spoil(scene: Scene, problem: Problem) -> Scene:
    """Return the same photo with one thing wrong that a quality check should notice; its faces are found."""
    match problem:
        case Problem.SMALL:
            faces = tuple(replace(face, inter_eye=11.0) for face in scene.faces)
            return replace(scene, faces=faces, blur=0.0)
        case Problem.BLURRED:
            inter_eye = max((face.inter_eye for face in scene.faces), default=50.0)
            return replace(scene, blur=0.125 * inter_eye, noise=0.5)
        case Problem.DARK:
            return replace(scene, brightness=0.16)
        case Problem.BRIGHT:
            return replace(scene, brightness=3.4)
        case Problem.TURNED:
            faces = tuple(replace(face, yaw=math.copysign(60.0, face.yaw)) for face in scene.faces)
            return replace(scene, faces=faces)


def landmarks(face: DrawnFace) -> NDArray[np.float64]:
    """Return where the landmarks of a drawn face are: (5, 2) x and y in pixels, in InsightFace's order."""
    points = np.array(LANDMARKS)
    rise = np.array([0.0, 0.0, _NOSE_RISE, 0.0, 0.0])
    turn = math.radians(face.yaw)
    across = points[:, 0] * math.cos(turn) + (depth_at(points[:, 0], points[:, 1]) + rise) * math.sin(turn)
    down = points[:, 1] - _FACE_CENTRE
    tilt = math.radians(face.tilt)
    x = face.x + face.inter_eye * (across * math.cos(tilt) - down * math.sin(tilt))
    y = face.y + face.inter_eye * (across * math.sin(tilt) + down * math.cos(tilt))
    return np.stack([x, y], axis=1)


def draw(scene: Scene) -> Image:
    """Draw a scene: uint8, shape (height, width, 3), BGR; the same scene always gives the same picture."""
    rng = np.random.default_rng((scene.seed, 3))
    canvas = _backdrop(scene, rng)
    for face in sorted(scene.faces, key=lambda one: one.y):  # the front row covers the one behind it
        _place(canvas, face, scene.seed)
    side_light = rng.uniform(-0.07, 0.07)
    canvas *= (scene.brightness * (1 + side_light * np.linspace(-1, 1, scene.width, dtype=np.float32)))[None, :, None]
    if scene.blur > 0:
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), scene.blur), dtype=np.float32)
    canvas += np.float32(scene.noise) * rng.standard_normal(canvas.shape, dtype=np.float32)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def draw_face(identity: int, seed: int = 0) -> Image:
    """Draw an ordinary photo of one person: `draw(ordinary_scene(identity, seed))`."""
    return draw(ordinary_scene(identity, seed))


def encode_png(image: Image) -> bytes:
    """Return the picture as a PNG file."""
    return _encode(".png", image, [])


def encode_jpeg(image: Image, quality: int = 92) -> bytes:
    """Return the picture as a JPEG file of `quality` 0..100."""
    return _encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def _encode(suffix: str, image: Image, options: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, image, options)
    if not done:
        raise ValueError(f"the picture of shape {image.shape} could not be encoded as {suffix}")
    return bytes(data)


def _backdrop(scene: Scene, rng: np.random.Generator) -> NDArray[np.float32]:
    """Paint a wall in a soft pastel, lighter at the top, with a few pale lights out of focus."""
    y = np.arange(scene.height, dtype=np.float32)[:, None]
    x = np.arange(scene.width, dtype=np.float32)[None, :]
    size = max(scene.width, scene.height)
    colour = np.array(_BACKDROPS[int(rng.integers(len(_BACKDROPS)))], dtype=np.float32)
    canvas = np.repeat(colour * (1.06 - 0.22 * y / scene.height)[..., None], scene.width, axis=1)
    for _ in range(6):
        centre_x, centre_y = rng.uniform(0, scene.width), rng.uniform(0, scene.height)
        radius, light = rng.uniform(0.05, 0.15) * size, rng.uniform(5, 14)
        rows = slice(max(0, math.floor(centre_y - radius)), math.ceil(centre_y + radius))
        columns = slice(max(0, math.floor(centre_x - radius)), math.ceil(centre_x + radius))
        distance = np.hypot(x[:, columns] - centre_x, y[rows] - centre_y) / radius
        canvas[rows, columns] += (light * np.clip(4 * (1 - distance), 0, 1))[..., None]
    return np.asarray(canvas, dtype=np.float32)


def _place(canvas: NDArray[np.float32], face: DrawnFace, seed: int) -> None:
    """Paint a person into the part of the canvas that head and shoulders take up."""
    height, width = canvas.shape[:2]
    left = max(0, math.floor(face.x - 2.6 * face.inter_eye))
    right = min(width, math.ceil(face.x + 2.6 * face.inter_eye))
    top = max(0, math.floor(face.y - 2.4 * face.inter_eye))
    bottom = height  # shoulders go on until the picture ends
    if left >= right or top >= bottom:
        return
    rows, columns = np.mgrid[top:bottom, left:right].astype(np.float32)
    tilt = math.radians(face.tilt)
    across = (columns - face.x) / face.inter_eye
    down = (rows - face.y) / face.inter_eye
    x = across * math.cos(tilt) + down * math.sin(tilt)
    y = down * math.cos(tilt) - across * math.sin(tilt) + _FACE_CENTRE
    upright = replace(face, x=0.0, y=0.0, inter_eye=1.0, tilt=0.0)
    dots = landmarks(upright) + np.array([0.0, _FACE_CENTRE])
    paint_person(canvas[top:bottom, left:right], x, y, dots, face.identity, face.yaw, face.aged, seed)
