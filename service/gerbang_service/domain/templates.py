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


def check_length(data: bytes, dimension: int) -> None:
    """Raise TemplateInvalid unless these are the bytes of so many float32."""
    if len(data) != 4 * dimension:
        raise TemplateInvalid(
            f"a template has {dimension} float32 = {4 * dimension} bytes, this one has {len(data)} bytes",
            expected_bytes=4 * dimension,
            bytes=len(data),
        )


def unit_vector(data: bytes, dimension: int) -> NDArray[np.float32]:
    """Read a template's vector and normalise it.

    `data`: little-endian float32, `dimension` of them, any norm > 0. Returns float32, shape (dimension,), norm 1.
    Raises TemplateInvalid for a wrong length, NaN or infinity, or a vector without a direction (all zero).
    """
    check_length(data, dimension)
    # In float64 no finite float32 vector overflows or underflows when it is squared.
    vector = np.frombuffer(data, dtype="<f4").astype(np.float64)
    norm = math.sqrt(vector @ vector)
    if (wrong := _no_direction(norm)) is not None:
        raise wrong
    return (vector / norm).astype(np.float32)


def unit_vectors(data: Sequence[bytes], dimension: int) -> list[NDArray[np.float32] | TemplateInvalid]:
    """Read the vectors of many templates as `unit_vector` does, all at once: each, or the error that it is.

    All are of the right length. NumPy gives the interpreter away for each operation on a vector of 512: on a busy
    server that costs more than the operation.
    """
    if not data:
        return []
    vectors = np.frombuffer(b"".join(data), dtype="<f4").reshape(len(data), dimension).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        norms = np.sqrt((vectors * vectors).sum(axis=1))
        units = (vectors / norms[:, np.newaxis]).astype(np.float32)
    return [_no_direction(norm) or unit for norm, unit in zip(norms.tolist(), units, strict=True)]


def _no_direction(norm: float) -> TemplateInvalid | None:
    if not math.isfinite(norm):
        return TemplateInvalid("the template holds NaN or infinity")
    return TemplateInvalid("the template is all zero") if norm == 0.0 else None


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
