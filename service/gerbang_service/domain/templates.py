"""Vectors as they come from outside: checked, and brought to unit length."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.errors import ModelMismatch, TemplateInvalid


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


def check_model(model: str, expected: str) -> None:
    """Raise ModelMismatch unless `model` is empty (trusted) or the server's own fingerprint."""
    if model and model.lower() != expected:
        raise ModelMismatch(
            f"the template was made by recogniser {model[:64]}, this server compares templates of {expected}",
            model=model[:64],
            server_model=expected,
        )
