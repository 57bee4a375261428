"""Photos of drawn people, made once."""

from __future__ import annotations

from functools import cache
from io import BytesIO

from PIL import Image

from gerbang_service.faces.standin.drawing import (
    Problem,
    crowd_scene,
    draw,
    draw_face,
    encode_jpeg,
    encode_png,
    ordinary_scene,
    spoil,
)


@cache
def photo(identity: int, seed: int = 1) -> bytes:
    """Return an ordinary photo of a person as JPEG file, 300 x 400 pixels."""
    return encode_jpeg(draw_face(identity, seed))


@cache
def large_photo(identity: int, seed: int = 1) -> bytes:
    """Return a photo of 12 megapixels as PNG file: slow to decode."""
    return saved(picture(identity, seed).resize((3000, 4000), Image.Resampling.NEAREST), "PNG", compress_level=1)


@cache
def crowd(*identities: int) -> bytes:
    """Return a photo of several people, or of an empty room, as PNG file."""
    return encode_png(draw(crowd_scene(identities, seed=5)))


@cache
def spoiled(problem: Problem, identity: int = 1) -> bytes:
    """Return a photo with one thing wrong, as PNG file."""
    return encode_png(draw(spoil(ordinary_scene(identity, 2), problem)))


def picture(identity: int, seed: int = 1) -> Image.Image:
    """Return an ordinary photo of a person for Pillow to save in any format."""
    return Image.fromarray(draw_face(identity, seed)[:, :, ::-1])


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return an image as a file of a format of Pillow's."""
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
