"""Whom the files of these tests show: a person who is enrolled under SUBJECT on LIST, and somebody else."""

from __future__ import annotations

import numpy as np
from PIL import Image

from pictures import picture

PERSON, OTHER_PERSON = 700, 701
LIST, SUBJECT = "hostile", "hostile-1"


def person() -> Image.Image:
    """Return the person's picture, as RGB."""
    return picture(PERSON, 6)


def pixels() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the person's picture as RGB array."""
    return np.asarray(person())
