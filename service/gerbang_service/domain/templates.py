"""Vectors as they come from outside: checked, and brought to unit length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.errors import ModelMismatch, StartupError, TemplateInvalid

# Squares of lengths are 1 but for the rounding of float32.
_ROUNDED: Final = 1e-3


def unit_vector(data: bytes, dimension: int) -> NDArray[np.float32]:
    """Read a template's vector and normalise it.

    `data`: little-endian float32, `dimension` of them, any norm > 0. Returns float32, shape (dimension,), norm 1.
    Raises TemplateInvalid for a wrong length, NaN or infinity, or a vector without a direction (all zero).
    """
    if len(data) != 4 * dimension:
        raise TemplateInvalid(
            f"a template has {dimension} float32 = {4 * dimension} bytes, this one has {len(data)} bytes",
            expected_bytes=4 * dimension,
            bytes=len(data),
        )
    # In float64 no finite float32 vector overflows or underflows when it is squared.
    vector = np.frombuffer(data, dtype="<f4").astype(np.float64)
    norm = math.sqrt(vector @ vector)
    if not math.isfinite(norm):
        raise TemplateInvalid("the template holds NaN or infinity")
    if norm == 0.0:
        raise TemplateInvalid("the template is all zero")
    return (vector / norm).astype(np.float32)


def stored_vectors(ids: NDArray[np.int64], vectors: Sequence[bytes], dimension: int) -> NDArray[np.float32]:
    """Read vectors as they were stored: float32 (len(ids), dimension), each of unit length.

    Raises StartupError, which names the first template whose vector can't be one: a flipped bit may make it match
    everybody, or nobody.
    """
    for template_id, vector in zip(ids.tolist(), vectors, strict=True):
        if len(vector) != 4 * dimension:
            raise StartupError(f"template {template_id} has {len(vector)} bytes instead of {4 * dimension}: damaged")
    read = np.frombuffer(b"".join(vectors), "<f4").reshape(len(ids), dimension)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", read, read)
        wrong = ~(np.abs(squares - 1.0) <= _ROUNDED)
    if wrong.any():
        raise StartupError(f"template {int(ids[wrong][0])} is not of unit length: damaged")
    return read


def check_model(model: str, expected: str) -> None:
    """Raise ModelMismatch unless `model` is empty (trusted) or the server's own fingerprint."""
    if model and model.lower() != expected:
        raise ModelMismatch(
            f"the template was made by recogniser {model[:64]}, this server compares templates of {expected}",
            model=model[:64],
            server_model=expected,
        )
