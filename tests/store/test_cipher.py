"""A sealed value opens for its own place only, and not after any change."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gerbang_service.domain.errors import DataDamaged
from gerbang_service.store.sealing.cipher import Cipher, NoCipher, place

CIPHER = Cipher(bytes(range(32)))
PLACE = place("templates.vector", 5, "person-1", "model", 0, None)


@given(st.binary(max_size=300), st.text(max_size=50))
def test_what_is_sealed_opens_as_it_was(value: bytes, text: str) -> None:
    """Bytes and text come back, and are not to be seen in what is stored."""
    sealed = CIPHER.seal(value, PLACE)
    assert CIPHER.open(sealed, PLACE) == value
    assert len(value) < 8 or value not in sealed
    printable = CIPHER.seal_text(text, PLACE)
    assert printable.isascii()
    assert CIPHER.open_text(printable, PLACE) == text


def test_values_of_one_group_are_sealed_as_any_other_and_no_nonce_comes_twice() -> None:
    """Also where more are sealed than nonces are drawn at once, and by groups that are under way together."""
    groups = CIPHER.of_one_group(), CIPHER.of_one_group()
    sealed = [group.seal(b"value", PLACE) for _ in range(300) for group in groups]
    assert len({each[:12] for each in sealed}) == 600
    assert {CIPHER.open(each, PLACE) for each in sealed} == {b"value"}


@given(st.binary(max_size=100), st.data())
def test_any_flipped_bit_is_found_and_the_row_named(value: bytes, data: st.DataObject) -> None:
    """Nonce, ciphertext or tag: a value with any bit changed does not open, and the message says whose it is."""
    sealed = bytearray(CIPHER.seal(value, PLACE))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DataDamaged, match=r"^template 5 of subject person-1: its vector is damaged or tampered with$"):
        CIPHER.open(bytes(sealed), PLACE)


@given(st.text(), st.data())
def test_changed_text_opens_as_it_was_or_not_at_all(text: str, data: st.DataObject) -> None:
    """Printable values too, whatever one of their characters becomes (base64 has bits at its end that mean nothing)."""
    sealed = CIPHER.seal_text(text, PLACE)
    at = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.characters(max_codepoint=0x2FF).filter(lambda each: each != sealed[at]))
    with suppress(DataDamaged):
        assert CIPHER.open_text(sealed[:at] + other + sealed[at + 1 :], PLACE) == text
        assert at >= len(sealed) - 4


@pytest.mark.parametrize("cut", [0, 5, 11, 12, 27])
def test_what_was_cut_is_found(cut: int) -> None:
    """A value too short to hold nonce and tag is damaged, not an error of another kind."""
    with pytest.raises(DataDamaged):
        CIPHER.open(CIPHER.seal(b"value", PLACE)[:cut], PLACE)


def test_value_in_another_row_is_found() -> None:
    """A value does not open as another person's, nor as another template of the same person's."""
    sealed = CIPHER.seal(b"value", PLACE)
    for row in (
        (5, "person-2", "model", 0, None),
        (6, "person-1", "model", 0, None),
        (5, "person-1", "other", 0, None),
    ):
        with pytest.raises(DataDamaged):
            CIPHER.open(sealed, place("templates.vector", *row))


def test_same_value_is_never_stored_the_same() -> None:
    """Two people with the same label, or one enrolled twice, are not to be told from what is stored."""
    assert len({CIPHER.seal(b"value", PLACE) for _ in range(1000)}) == 1000


def test_derived_keys_are_their_purposes_own() -> None:
    """Each purpose has a key of its own, the same at every start, and none is the data key."""
    one, other = CIPHER.derive(b"one"), CIPHER.derive(b"other")
    assert len({one, other, bytes(range(32))}) == 3
    assert Cipher(bytes(range(32))).derive(b"one") == one


def test_without_a_key_what_is_encrypted_is_not_taken_for_clear() -> None:
    """A connection without the key reads no encrypted label as if it were one."""
    with pytest.raises(DataDamaged, match="encrypted"):
        NoCipher().open_text(CIPHER.seal_text("{}", PLACE), PLACE)
