"""What a caller sent of a face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.faces import FaceChoice


@dataclass(frozen=True, slots=True)
class ImageSample:
    """An image file, not yet decoded, and which of its faces is meant."""

    data: bytes
    choice: FaceChoice


@dataclass(frozen=True, slots=True)
class TemplateSample:
    """A template. `vector`: float32, shape (dimension,), unit length."""

    vector: NDArray[np.float32]


Sample = ImageSample | TemplateSample


@dataclass(frozen=True, slots=True)
class UncheckedTemplate:
    """A template as it came, to be looked at together with others. `data`: as long as a vector of the server's."""

    data: bytes
