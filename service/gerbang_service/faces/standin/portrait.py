"""How a drawn person looks: hair, mosaic, eyes, nose and mouth, painted with soft edges into a float canvas.

Coordinates are a face's own: x to the picture's right and y down, in inter-eye distances, (0, 0) between the
eyes.
"""

from __future__ import annotations

import math
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Plane: TypeAlias = NDArray[np.float32]

HUES: Final = ((226, 52, 30), (46, 174, 24), (42, 40, 216), (24, 214, 230), (206, 36, 208))
"""BGR of the five landmarks (blue, green, red, yellow, magenta); nothing else that is drawn is as
saturated."""

_TILE: Final = 0.16
_GRID: Final = 28
_MIDDLE: Final = 0.55
_BULGE: Final = 0.75
_BULGE_X: Final = 1.3
_BULGE_Y: Final = 1.7
_RADII: Final = (0.135, 0.135, 0.14, 0.125, 0.125)
_LIP: Final = np.array((70.0, 66.0, 74.0))
_LID: Final = np.array((66.0, 66.0, 70.0))
_EYE_WHITE: Final = np.array((240.0, 242.0, 242.0))
_PUPIL: Final = np.array((30.0, 28.0, 28.0))
_HAIR: Final = ((40, 43, 48), (66, 72, 79), (94, 99, 104), (128, 142, 151), (158, 160, 162), (50, 51, 55))
_CLOTHES: Final = ((120, 108, 98), (96, 98, 108), (104, 112, 100), (140, 134, 128), (84, 80, 78))


def depth_at(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far the face stands out towards the camera at (x, y), in inter-eye distances: it bulges."""
    return np.asarray(_BULGE * (1 - (x / _BULGE_X) ** 2 - ((y - _MIDDLE) / _BULGE_Y) ** 2))


def paint_person(
    canvas: NDArray[np.float32],
    x: Plane,
    y: Plane,
    dots: NDArray[np.float64],
    identity: int,
    yaw: float,
    aged: float,
    seed: int,
) -> None:
    """Paint head and shoulders into `canvas` (height, width, 3; BGR, 0..255), in place.

    `x` and `y` (height, width) are the face coordinates of the canvas's pixels, `dots` (5, 2) those of the
    landmarks as seen, `yaw` the turn of the head in degrees; `identity` chooses the person, `seed` the
    clothes and the tiles that take the place of the share `aged` (0 to 1) of the person's own.
    """
    pixel = float(np.hypot(x[0, -1] - x[0, 0], y[0, -1] - y[0, 0])) / max(1, x.shape[1] - 1)
    pixel = max(pixel, 1e-4)
    brush = _Brush(canvas, pixel)
    traits, photo = np.random.default_rng((identity, 4)), np.random.default_rng((identity, seed, 5))
    hair = np.array(_HAIR[int(traits.integers(len(_HAIR)))], dtype=np.float64)
    fringe = traits.uniform(-0.6, -0.5)
    parting = traits.uniform(-0.25, 0.25)
    long_hair = traits.random() < 0.5
    skin = traits.uniform(142, 172)
    own, other = traits.normal(0, 0.17, (_GRID, _GRID)), photo.normal(0, 0.17, (_GRID, _GRID))
    tiles = skin * (1 + np.clip(own * math.sqrt(1 - aged**2) + other * aged, -0.36, 0.36))
    clothes = np.array(_CLOTHES[int(photo.integers(len(_CLOTHES)))])

    if long_hair:
        brush.paint(_box(x, y - 0.95, 1.2, 1.25, 0.5), hair * 0.86)
    brush.paint(_ellipse(x, np.minimum(y - 3.75, 0), 2.1, 1.45), clothes)
    brush.paint(_box(x, y - 2.0, 0.46, 0.75, 0.3), _skin(skin * 0.78))
    brush.paint(_box(x, y - 2.62, 0.62, 0.18, 0.17), clothes * 1.12)
    for side in (-1.12, 1.12):
        brush.paint(_ellipse(x - side, y - 0.42, 0.16, 0.3), _skin(skin * 0.88))
    brush.paint(_ellipse(x, y - 0.42, 1.17, 1.5), hair)
    near = _bounds(np.hypot(x, y - _MIDDLE) < 1.5)
    brush, x, y = _Brush(canvas[near], pixel), x[near], y[near]
    turned = _unturn(x, y, yaw)
    head = np.maximum(_ellipse(x, y - _MIDDLE, 1.1, 1.45), fringe + 0.32 * (turned - parting) ** 2 - y)
    brush.paint(head, _mosaic(turned, y, tiles))
    _features(brush, x, y, dots, hair)


class _Brush:
    """Lays colour over a canvas where a shape is, with an edge one pixel wide."""

    def __init__(self, canvas: NDArray[np.float32], pixel: float) -> None:
        self._canvas = canvas
        self._pixel = pixel

    def paint(self, outside: Plane, colour: NDArray[np.float64] | NDArray[np.float32]) -> None:
        """Paint where `outside`, the distance from the edge, is negative; `colour`: one BGR or one a pixel."""
        part = _bounds(outside < 0.5 * self._pixel)
        cover = np.clip(0.5 - outside[part] / self._pixel, 0, 1)[..., None].astype(np.float32)
        under = self._canvas[part]
        paint = np.asarray(colour if colour.ndim == 1 else colour[part], dtype=np.float32)
        under += cover * (paint - under)


def _bounds(touched: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns that hold everything that is touched; none if nothing is."""
    rows, columns = np.flatnonzero(touched.any(axis=1)), np.flatnonzero(touched.any(axis=0))
    if not rows.size:
        return slice(0), slice(0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _features(brush: _Brush, x: Plane, y: Plane, dots: NDArray[np.float64], hair: NDArray[np.float64]) -> None:
    """Paint brows, eyes, nose and mouth where the landmarks are seen."""
    left, right = dots[3], dots[4]
    along = np.clip((x - left[0]) / (right[0] - left[0]), 0, 1)
    lip_x = left[0] + along * (right[0] - left[0])
    lip_y = left[1] + along * (right[1] - left[1]) + 0.72 * along * (1 - along)
    brush.paint(np.hypot(x - lip_x, y - lip_y) - 0.03, _LIP)
    for eye in dots[:2]:
        brow_x = np.clip(x - eye[0], -0.22, 0.22)
        brush.paint(np.hypot(x - eye[0] - brow_x, y - eye[1] + 0.31 - 0.9 * brow_x**2) - 0.035, hair * 0.9)
        brush.paint(_ellipse(x - eye[0], y - eye[1], 0.25, 0.185), _LID)
        brush.paint(_ellipse(x - eye[0], y - eye[1] - 0.012, 0.235, 0.168), _EYE_WHITE)
    for dot, radius, hue in zip(dots, _RADII, HUES, strict=True):
        brush.paint(_ellipse(x - dot[0], y - dot[1], radius, radius), np.array(hue))
    for eye in dots[:2]:
        brush.paint(_ellipse(x - eye[0], y - eye[1], 0.045, 0.045), _PUPIL)


def _mosaic(x: Plane, y: Plane, tiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the face's colour at (x, y): diamond tiles with soft edges, that may be a bit out of place."""
    scale, shift = 1 / (math.sqrt(2) * _TILE), _GRID / 2 - 2
    column = np.clip((x + y) * scale + shift, 0, _GRID - 1.001)
    row = np.clip((y - x) * scale + shift, 0, _GRID - 1.001)
    left, top = column.astype(np.int64), row.astype(np.int64)
    blend_x, blend_y = _soft_step(column - left), _soft_step(row - top)
    upper = tiles[top, left] * (1 - blend_x) + tiles[top, left + 1] * blend_x
    lower = tiles[top + 1, left] * (1 - blend_x) + tiles[top + 1, left + 1] * blend_x
    return _skin(upper * (1 - blend_y) + lower * blend_y)


def _soft_step(part: Plane) -> NDArray[np.float64]:
    """Rise from 0 to 1 across the middle of a tile's width, flat on either side."""
    ramp = np.clip((part - 0.5) * 1.6 + 0.5, 0, 1).astype(np.float64)
    return np.asarray(ramp * ramp * (3 - 2 * ramp))


def _skin(grey: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Warm a grey a little, so that it does not look like stone: BGR on a new last axis."""
    return np.asarray(np.asarray(grey)[..., None] * np.array((0.93, 0.985, 1.035)))


def _unturn(x: Plane, y: Plane, yaw: float) -> Plane:
    """Return the x on a face that looks straight ahead of what is seen at (x, y) once the head has turned."""
    cosine, sine = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    nearest = _BULGE * (1 - ((y - _MIDDLE) / _BULGE_Y) ** 2)
    inside = cosine**2 - 4 * sine * _BULGE / _BULGE_X**2 * (x - sine * nearest)
    return np.asarray(2 * (x - sine * nearest) / (cosine + np.sqrt(np.maximum(inside, 0))), dtype=np.float32)


def _ellipse(x: Plane, y: Plane, half_width: float, half_height: float) -> Plane:
    """Return about the distance to an ellipse round (0, 0): right near its edge, where brushes look at it."""
    across, down = x / half_width**2, y / half_height**2
    slope = np.sqrt(across * across + down * down)
    return np.asarray((x * across + y * down - 1) / np.maximum(2 * slope, 1e-6))


def _box(x: Plane, y: Plane, half_width: float, half_height: float, corner: float) -> Plane:
    """Return the distance to a rectangle round (0, 0) with rounded corners."""
    beyond_x, beyond_y = np.abs(x) - (half_width - corner), np.abs(y) - (half_height - corner)
    outside = np.hypot(np.maximum(beyond_x, 0), np.maximum(beyond_y, 0))
    return np.asarray(outside + np.minimum(np.maximum(beyond_x, beyond_y), 0) - corner)
