"""What a data folder holds of people, encrypted value by value: AES-256-GCM (NIST SP 800-38D).

Each value has a random nonce of 96 bits, stored before it, and is bound to its place: the table and column, and what
else is in its row. So a value that was put into another person's row, or a row of which any of that was changed, is
found out when it is opened. Random nonces allow 2^32 values under one key (SP 800-38D, 8.3); a change seals 3 to 24.
"""

from __future__ import annotations

import os
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from typing import TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gerbang_service.domain.errors import DataDamaged

KEY_BYTES = 32
_NONCE_BYTES = 12
_NONCES_AT_ONCE = 64
# Text that begins so is not JSON, so that who reads without the key sees what it is.
_TEXT = "AES-256-GCM:"


def place(column: str, *row: object) -> bytes:
    """Return what a value is bound to. `column`: TABLE.COLUMN; `row`: what else is in its row, free text last."""
    return "\0".join((column, *map(str, row))).encode()


class Cipher:
    """Seals and opens values with a data key. Immutable; may be used by many threads."""

    encrypts = True

    def __init__(self, data_key: bytes) -> None:
        """`data_key`: 32 random bytes."""
        self._key = data_key
        self._aead = AESGCM(data_key)
        self._derived: dict[bytes, bytes] = {}

    def seal(self, value: bytes, place: bytes) -> bytes:
        """Return nonce, ciphertext and tag: 28 bytes more than the value."""
        nonce = self._nonce()
        return nonce + self._aead.encrypt(nonce, value, place)

    def _nonce(self) -> bytes:
        return os.urandom(_NONCE_BYTES)

    def of_one_group(self) -> Cipher:
        """Return one for the values of one group of changes, in one thread. It must not outlive the group."""
        return _GroupCipher(self._key)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Return what was sealed for this place; raise DataDamaged for anything else."""
        try:
            return self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place)
        except (InvalidTag, ValueError, TypeError):
            # A flipped bit may also make text, a number or nothing of bytes.
            raise DataDamaged(f"{_named(place)} is damaged or tampered with") from None

    def seal_text(self, value: str, place: bytes) -> str:
        """Return the sealed value in printable form, for columns of text."""
        return _TEXT + b64encode(self.seal(value.encode(), place)).decode()

    def open_text(self, sealed: str, place: bytes) -> str:
        """Return what `seal_text` was given; raise DataDamaged for anything else."""
        try:
            value = a2b_base64(sealed.removeprefix(_TEXT), strict_mode=True)
            return self._aead.decrypt(value[:_NONCE_BYTES], value[_NONCE_BYTES:], place).decode()
        except (InvalidTag, Base64Error, ValueError, TypeError, AttributeError):
            raise DataDamaged(f"{_named(place)} is damaged or tampered with") from None

    def derive(self, purpose: bytes) -> bytes:
        """Return a key of 32 bytes for another purpose; who has it learns nothing of the data key (HKDF, RFC 5869)."""
        if purpose not in self._derived:
            kdf = HKDF(SHA256(), KEY_BYTES, salt=None, info=b"gerbang " + purpose)
            self._derived[purpose] = kdf.derive(self._key)
        return self._derived[purpose]


class _GroupCipher(Cipher):
    """Draws nonces many at a time: whoever asks the kernel for random bytes gives the interpreter away meanwhile.

    Used at once, as they must be: where a process or a machine is copied, each copy has to draw its own.
    """

    def __init__(self, data_key: bytes) -> None:
        super().__init__(data_key)
        self._drawn: list[bytes] = []

    def _nonce(self) -> bytes:
        if not self._drawn:
            drawn = os.urandom(_NONCES_AT_ONCE * _NONCE_BYTES)
            self._drawn = [drawn[i : i + _NONCE_BYTES] for i in range(0, len(drawn), _NONCE_BYTES)]
        return self._drawn.pop()


class NoCipher:
    """Stands in for Cipher where encryption is off: values stay as they are."""

    encrypts = False

    def seal(self, value: bytes, place: bytes) -> bytes:  # noqa: ARG002 - as Cipher
        """Return the value."""
        return value

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Return the value; raise DataDamaged for what is no bytes."""
        if not isinstance(sealed, bytes):
            raise DataDamaged(f"{_named(place)} is damaged: no bytes")
        return sealed

    def seal_text(self, value: str, place: bytes) -> str:  # noqa: ARG002
        """Return the value."""
        return value

    def open_text(self, sealed: str, place: bytes) -> str:
        """Return the value; raise DataDamaged for one that is encrypted, or no text."""
        if not isinstance(sealed, str):
            raise DataDamaged(f"{_named(place)} is damaged: no text")
        if sealed.startswith(_TEXT):
            raise DataDamaged(f"{_named(place)} is encrypted")
        return sealed

    def of_one_group(self) -> NoCipher:
        """Return this."""
        return self

    def derive(self, purpose: bytes) -> None:
        """Return None: there is nothing to derive a key from."""


AnyCipher: TypeAlias = Cipher | NoCipher
NO_CIPHER = NoCipher()


# What the first parts of a place are, for the message: never the value.
_ROWS = {
    "templates.vector": "template {} of subject {}: its vector",
    "subjects.row": "subject {}: its labels, its lists or another of its fields",
    "watchlists.row": "watchlist {}: its labels or another of its fields",
    "tokens.row": "API token {}",
    "subjects.labels": "subject {}: its labels or another of its fields",
    "watchlists.labels": "watchlist {}: its labels or another of its fields",
    "requests.digest": "request {} about subject {}: its digest or another of its fields",
    "requests.answer": "request {} about subject {}: its stored answer",
    "meta.seal": "table meta (revision, model, dimension), or the count of ids that were given",
    "meta.tally": "table meta: its tally of the rows that there are",
}


def _named(place: bytes) -> str:
    column, *row = place.decode().split("\0")
    return _ROWS.get(column, column).format(*row)
