"""Vectors from outside are brought to unit length or refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gerbang_service.domain.errors import ModelMismatch, TemplateInvalid
from gerbang_service.domain.templates import check_model, unit_vector, unit_vectors

FINITE = hnp.arrays(np.float32, 8, elements=st.floats(width=32, allow_nan=False, allow_infinity=False))


@given(FINITE)
def test_every_finite_vector_with_a_direction_comes_out_with_length_one(vector: np.ndarray) -> None:
    """Any norm > 0 is taken, the smallest and the largest that float32 holds too."""
    assume(np.any(vector != 0))
    unit = unit_vector(vector.astype("<f4").tobytes(), 8)
    assert unit.dtype == np.float32
    assert np.linalg.norm(unit.astype(np.float64)) == pytest.approx(1.0, abs=1e-6)
    assert np.argmax(np.abs(unit)) == np.argmax(np.abs(vector))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_refused(bad: float) -> None:
    """One NaN or infinity is enough."""
    with pytest.raises(TemplateInvalid, match="NaN or infinity"):
        unit_vector(np.array([1.0, bad], "<f4").tobytes(), 2)


def test_a_vector_without_direction_is_refused() -> None:
    """All zero, of either sign, can't be compared with anything."""
    with pytest.raises(TemplateInvalid, match="all zero"):
        unit_vector(np.array([0.0, -0.0], "<f4").tobytes(), 2)


@given(st.binary(max_size=64))
def test_a_wrong_length_is_refused_with_both_lengths(data: bytes) -> None:
    """The client learns how many bytes were expected."""
    assume(len(data) != 32)
    with pytest.raises(TemplateInvalid) as refused:
        unit_vector(data, 8)
    assert refused.value.metadata == {"expected_bytes": "32", "bytes": str(len(data))}


def test_templates_of_another_recogniser_are_refused_and_unnamed_ones_trusted() -> None:
    """An empty fingerprint is trusted to be the server's, any other must be equal to it."""
    check_model("", "ab12")
    check_model("AB12", "ab12")
    with pytest.raises(ModelMismatch):
        check_model("cd34", "ab12")


def test_many_templates_are_read_as_one_by_one_are() -> None:
    """Whatever their norm, and the same whoever is read with them; those that can't be are told by themselves."""
    random = np.random.default_rng(3)
    good = [(random.standard_normal(512) * 10.0**power).astype("<f4").tobytes() for power in range(-37, 38)]
    bad = [np.zeros(512, "<f4").tobytes(), np.full(512, np.nan, "<f4").tobytes(), np.full(512, np.inf, "<f4").tobytes()]
    read = unit_vectors([*good, *bad], 512)
    for data, vector in zip(good, read, strict=False):
        assert isinstance(vector, np.ndarray)
        assert vector.dtype == np.float32
        assert np.abs(vector - unit_vector(data, 512)).max() <= np.finfo(np.float32).eps / 8
        (alone,) = unit_vectors([data], 512)
        assert isinstance(alone, np.ndarray)
        assert np.array_equal(alone, vector)
    assert [str(each) for each in read[len(good) :]] == [
        "the template is all zero",
        "the template holds NaN or infinity",
        "the template holds NaN or infinity",
    ]
    assert unit_vectors([], 512) == []
