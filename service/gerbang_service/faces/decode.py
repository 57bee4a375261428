"""Bytes of an image file -> pixels."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Final, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from gerbang_service.domain.errors import ImageTooLarge, ImageUnreadable
from gerbang_service.faces.effort import check_effort

Pixels: TypeAlias = NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "JPEG2000")

# Registers all formats now rather than at the first image that is none.
Image.init()
# The number of pixels is checked here, against a limit of our own and before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

_EXIF_ORIENTATION = 0x0112
# What brings an image of that EXIF orientation upright (CIPA DC-008 section 4.6.4, tag Orientation): whether rows and
# columns are exchanged, and then which way it is flipped: 1 left to right, 0 top to bottom, -1 both (cv2.flip).
_UPRIGHT: dict[int, tuple[bool, int | None]] = {
    2: (False, 1),
    3: (False, -1),
    4: (False, 0),
    5: (True, None),
    6: (True, 1),
    7: (True, -1),
    8: (True, 0),
}
_AS_IT_IS: Final = (False, None)
# Pixels converted at a time: few enough for the processor's cache and for memory, enough to be one for most photos.
_STRIP_PIXELS = 2**18


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Largest image file in bytes, and largest image in pixels."""

    max_bytes: int
    max_pixels: int


def decode(data: bytes, limits: ImageLimits) -> Pixels:
    """Decode an image file to upright BGR pixels, uint8, shape (height, width, 3), C-contiguous.

    Takes JPEG (CMYK too), PNG, WebP, BMP and JPEG 2000; grey, 16 bit and palette images; of an animation the first
    frame. Transparent parts become white. Raises ImageUnreadable, or ImageTooLarge before it decodes; MemoryError when
    the server has no memory for an image within the limits, which is no fault of the image's.
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
        # Pillow's opening goes through a file's structure already.
        check_effort(data, limits.max_pixels)
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            _check_pixels(image, limits)
            return _upright_bgr(image)
    except (ImageTooLarge, ImageUnreadable, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageUnreadable("not a JPEG, PNG, WebP, BMP or JPEG 2000 image", bytes=len(data)) from None
    except Exception as error:
        if _is_of_memory(error):
            raise MemoryError("no memory to decode an image") from error
        # Decoders fail in many ways on damaged files: OSError, SyntaxError, ValueError, struct.error, ...
        raise ImageUnreadable(f"the image is damaged or truncated: {error}", bytes=len(data)) from error


def _is_of_memory(error: Exception) -> bool:
    """Whether a decoder (ImageFile.ERRORS, -9) or OpenCV ran out of memory, which they say in their own ways."""
    if isinstance(error, cv2.error):
        return error.code == cv2.Error.StsNoMem
    return isinstance(error, OSError) and str(error).startswith("out of memory")


def _check_pixels(image: Image.Image, limits: ImageLimits) -> None:
    pixels = image.width * image.height
    if pixels > limits.max_pixels:
        raise ImageTooLarge(
            f"the image has {image.width} x {image.height} = {pixels} pixels, the limit is {limits.max_pixels}",
            width=image.width,
            height=image.height,
            limit=limits.max_pixels,
        )


def _upright_bgr(image: Image.Image) -> Pixels:
    exchanged, flip = _turn(image)
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    if height <= rows:
        return _turned(_bgr(image), exchanged=exchanged, flip=flip)
    # In strips, as each conversion of the whole would hold one more copy of it: 100 MB for 25 megapixels.
    upright = np.empty((width, height, 3) if exchanged else (height, width, 3), np.uint8)
    as_rows = upright.transpose(1, 0, 2) if exchanged else upright
    backwards = flip == -1 or flip == int(exchanged)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        strip = _turned(_bgr(image.crop((0, top, width, bottom))), exchanged=exchanged, flip=flip)
        place = slice(height - bottom, height - top) if backwards else slice(top, bottom)
        as_rows[place] = strip.transpose(1, 0, 2) if exchanged else strip
    return upright


def _turn(image: Image.Image) -> tuple[bool, int | None]:
    """Return what brings the image upright, as in _UPRIGHT."""
    try:
        return _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1), _AS_IT_IS)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - unreadable metadata is no reason to refuse a readable face
        return _AS_IT_IS


def _bgr(image: Image.Image) -> Pixels:
    return cast("Pixels", cv2.cvtColor(np.asarray(_to_rgb(image)), cv2.COLOR_RGB2BGR))


def _turned(pixels: Pixels, *, exchanged: bool, flip: int | None) -> Pixels:
    turned = cv2.transpose(pixels) if exchanged else pixels
    return cast("Pixels", turned if flip is None else cv2.flip(turned, flip))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bit grey; Pillow's own conversion would clip it to white
        grey = np.asarray(image).astype(np.int64)
        return Image.fromarray(np.clip(grey >> 8, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        opaque = image.convert("RGBA")
        white = Image.new("RGBA", opaque.size, "white")
        return Image.alpha_composite(white, opaque).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
