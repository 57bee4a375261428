"""Bytes of an image file -> pixels."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from gerbang_service.domain.errors import ImageTooLarge, ImageUnreadable

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "JPEG2000")

# Registers all formats now rather than at the first image that is none.
Image.init()
# The number of pixels is checked here, against a limit of our own and before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

_EXIF_ORIENTATION = 0x0112
# How to bring an image of that EXIF orientation upright (CIPA DC-008 section 4.6.4, tag Orientation).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Largest image file in bytes, and largest image in pixels."""

    max_bytes: int
    max_pixels: int


def decode(data: bytes, limits: ImageLimits) -> NDArray[np.uint8]:
    """Decode an image file to upright BGR pixels, uint8, shape (height, width, 3), C-contiguous.

    Takes JPEG (CMYK too), PNG, WebP, BMP and JPEG 2000; grey, 16 bit and palette images; of an animation the first
    frame. Transparent parts become white. Raises ImageUnreadable, or ImageTooLarge before it decodes.
    """
    if not data:
        raise ImageUnreadable("the image is empty")
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(
            f"the image has {len(data)} bytes, the limit is {limits.max_bytes}",
            bytes=len(data),
            limit=limits.max_bytes,
        )
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            _check_pixels(image, limits)
            return _upright_bgr(image)
    except ImageTooLarge:
        raise
    except UnidentifiedImageError:
        raise ImageUnreadable("not a JPEG, PNG, WebP, BMP or JPEG 2000 image", bytes=len(data)) from None
    except Exception as error:
        # Decoders fail in many ways on damaged files: OSError, SyntaxError, ValueError, struct.error, ...
        raise ImageUnreadable(f"the image is damaged or truncated: {error}", bytes=len(data)) from error


def _check_pixels(image: Image.Image, limits: ImageLimits) -> None:
    pixels = image.width * image.height
    if pixels > limits.max_pixels:
        raise ImageTooLarge(
            f"the image has {image.width} x {image.height} = {pixels} pixels, the limit is {limits.max_pixels}",
            width=image.width,
            height=image.height,
            limit=limits.max_pixels,
        )


def _upright_bgr(image: Image.Image) -> NDArray[np.uint8]:
    orientation = 1
    with suppress(Exception):  # unreadable metadata is no reason to refuse a readable face
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    rgb = _to_rgb(image)
    if orientation in _UPRIGHT:
        rgb = rgb.transpose(_UPRIGHT[orientation])
    return np.ascontiguousarray(np.asarray(rgb)[:, :, ::-1])


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bit grey; Pillow's own conversion would clip it to white
        grey = np.asarray(image).astype(np.int64)
        return Image.fromarray(np.clip(grey >> 8, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        opaque = image.convert("RGBA")
        white = Image.new("RGBA", opaque.size, "white")
        return Image.alpha_composite(white, opaque).convert("RGB")
    return image.convert("RGB")
