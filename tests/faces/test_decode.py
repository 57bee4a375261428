"""Pixels come out upright and whole, whichever way and in however many pieces they were converted."""

from __future__ import annotations

from io import BytesIO

import cv2
import grpc
import numpy as np
import pytest
from PIL import Image, ImageOps

from gerbang_service.faces.decode import ImageLimits, decode
from gerbang_service.rpc.errors import to_status

LIMITS = ImageLimits(max_bytes=10_000_000, max_pixels=25_000_000)
# Less and more than one strip, in either direction.
SIZES = [(37, 50), (700, 901), (901, 700), (90_001, 5)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("mode", ["RGB", "P"])
@pytest.mark.parametrize("orientation", range(1, 10))
def test_every_orientation_is_brought_upright(orientation: int, mode: str, size: tuple[int, int]) -> None:
    """All eight EXIF orientations, and a ninth that does not exist, give what Pillow's exif_transpose gives."""
    image = noise(size).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = BytesIO()
    image.save(file, "PNG", exif=exif, compress_level=1)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(file)).convert("RGB"))[:, :, ::-1]
    decoded = decode(file.getvalue(), LIMITS)
    assert decoded.flags.c_contiguous
    assert np.array_equal(decoded, expected)


def noise(size: tuple[int, int]) -> Image.Image:
    """Return a picture in which no two places are alike."""
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def test_transparent_parts_of_a_large_picture_are_white() -> None:
    """A picture of several strips, transparent but for its last rows, is white but for those."""
    image = noise((1000, 600))
    image.putalpha(Image.fromarray(np.repeat(np.arange(600) >= 590, 1000).reshape(600, 1000).astype(np.uint8) * 255))
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    decoded = decode(file.getvalue(), LIMITS)
    assert (decoded[:590] == 255).all()
    assert np.array_equal(decoded[590:], np.asarray(image.convert("RGB"))[590:, :, ::-1])


@pytest.mark.parametrize(
    "failure",
    [MemoryError(), OSError("out of memory when reading image file"), cv2.error("Insufficient memory")],
    ids=lambda failure: type(failure).__name__,
)
def test_no_memory_is_no_fault_of_the_image(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    """However a decoder says that there is no memory, it is a failure of the server: INTERNAL, and not IMAGE_..."""
    if isinstance(failure, cv2.error):
        failure.code = cv2.Error.StsNoMem

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(Image.Image, "crop", fail)
    file = BytesIO()
    noise((700, 901)).save(file, "PNG", compress_level=1)
    with pytest.raises(MemoryError) as caught:
        decode(file.getvalue(), LIMITS)
    assert to_status(caught.value).code == grpc.StatusCode.INTERNAL.value[0]


def test_no_memory_for_metadata_is_no_fault_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without memory for the metadata the picture is not taken for an upright one."""

    def fail(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "getexif", fail)
    file = BytesIO()
    noise((37, 50)).save(file, "BMP")
    with pytest.raises(MemoryError):
        decode(file.getvalue(), LIMITS)
