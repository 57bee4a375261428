"""Bytes of a template and the name of its recogniser -> a unit vector."""

from __future__ import annotations

from collections.abc import Iterator

import atheris

with atheris.instrument_imports(include=["gerbang_service"]):
    from gerbang_service.domain.errors import ModelMismatch, TemplateInvalid
    from gerbang_service.domain.templates import check_model, unit_vector

import numpy as np

from fuzz.target import run

DIMENSION = 16


def one(data: bytes) -> None:
    """Read a template: of unit length, or one of two refusals."""
    try:
        check_model(data[4 * DIMENSION :].decode(errors="replace"), "a" * 64)
        vector = unit_vector(data[: 4 * DIMENSION], DIMENSION)
    except (TemplateInvalid, ModelMismatch):
        return
    assert vector.shape == (DIMENSION,)
    assert abs(float(np.linalg.norm(vector.astype(np.float64))) - 1) < 1e-5


def seeds() -> Iterator[bytes]:
    """Yield vectors of ordinary and extreme values."""
    for value in (1.0, -0.5, 0.0, 1e-45, 3e38, np.nan, np.inf):
        yield np.full(DIMENSION, value, "<f4").tobytes()
    yield np.ones(DIMENSION, "<f4").tobytes() + b"a" * 64


if __name__ == "__main__":
    run("template_bytes", seeds, one, longest=256)
