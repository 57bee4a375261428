"""A name that is no id gets one that is its own, the same in every run and on every machine."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gerbang_service.cli.made_ids import is_id, name_label, subject_id_of


@pytest.mark.parametrize("name", ["P-17", "Ana_B", "a.b:c-d", "x" * 128, "made-0c6e5fe880465ad0"])
def test_an_id_stays(name: str) -> None:
    assert subject_id_of(name) == name


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("Müller, Anna", "Muller-Anna:made-5908106950fe3e6f"),
        ("José P", "Jose-P:made-e81cb356530baac7"),
        ("Łukasz Ørsted", "Lukasz-Oersted:made-93bfa14c57ad840c"),
        ("Щукин Юрий", "Shchukin-Iurii:made-f547ab0b6992d4f4"),
        ("김민수", "gimminsu:made-2787ed492e0597ac"),
        ("さくら", "sakura:made-78d493c78d397731"),
        ("王伟", "made-0c6e5fe880465ad0"),
        ("x" * 129, "x" * 60 + ":made-0ec9eb33e74510bc"),
        ("a\udcffb", "a-b:made-253d5effb552378f"),
    ],
)
def test_what_is_made_is_fixed_for_ever(name: str, made: str) -> None:
    """Another release that made another id would enrol everybody once more."""
    assert subject_id_of(name) == made
    assert is_id(made)


def test_both_spellings_of_a_name_are_one_person() -> None:
    """Macs take letters apart."""
    composed, apart = unicodedata.normalize("NFC", "José Müller"), unicodedata.normalize("NFD", "José Müller")
    assert composed != apart
    assert subject_id_of(composed) == subject_id_of(apart)
    assert name_label(composed) == name_label(apart) == composed


@pytest.mark.parametrize(
    ("one", "other"),
    [("王伟", "李娜"), ("Müller A", "Müller_A"), ("Иван", "Анна"), ("x" * 128 + "a", "x" * 128 + "b"), ("a b", "a  b")],
)
def test_names_that_read_alike_are_told_apart(one: str, other: str) -> None:
    assert subject_id_of(one) != subject_id_of(other)


@given(st.text(min_size=1, max_size=300))
def test_of_whatever_name_an_id_and_a_label_is_made(name: str) -> None:
    assert is_id(subject_id_of(name))
    assert len(name_label(name)) <= 256
    name_label(name).encode()
