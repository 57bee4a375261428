"""The operator's key: 32 random bytes as base64 text, in a file or in the environment. It wraps the data key.

It is never taken from the command line, where every process could read it, and never logged: its id tells it apart.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import stat
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gerbang_service.domain.errors import StartupError
from gerbang_service.store.folders import sync_folder
from gerbang_service.store.sealing.cipher import KEY_BYTES

ENVIRONMENT = "GERBANG_KEY"
_NONCE_BYTES = 12
_ID_DIGITS = 12


class OperatorKey:
    """A key that wraps data keys. Immutable; its text forms show the id alone."""

    def __init__(self, secret: bytes) -> None:
        """`secret`: 32 bytes."""
        self._aead = AESGCM(secret)
        # A keyed hash of a random key says nothing about it.
        self.id = hmac.new(secret, b"gerbang key id", hashlib.sha256).hexdigest()[:_ID_DIGITS]

    def wrap(self, data_key: bytes, bound_to: bytes) -> bytes:
        """Return the data key encrypted."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, data_key, bound_to)

    def unwrap(self, wrapped: bytes, bound_to: bytes) -> bytes | None:
        """Return the data key, or None when it was not wrapped with this key, or was damaged since."""
        try:
            return self._aead.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], bound_to)
        except (InvalidTag, ValueError, TypeError):
            return None

    def __repr__(self) -> str:
        return f"OperatorKey({self.id})"


def create_key_file(path: Path) -> OperatorKey:
    """Write a new key into a new file that only its owner can read, and return when it is on the disk.

    Raises StartupError, and then leaves no file; never overwrites.
    """
    secret = os.urandom(KEY_BYTES)
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(file, "wb") as out:
                out.write(b64encode(secret) + b"\n")
                out.flush()
                os.fsync(out.fileno())
            sync_folder(path.parent)
        except BaseException:
            # Or it would be there already when this is tried again.
            path.unlink()
            raise
    except FileExistsError:
        raise StartupError(f"key file {path}: is there already, and a key is never overwritten") from None
    except OSError as error:
        raise StartupError(f"key file {path}: {error.strerror}") from error
    return OperatorKey(secret)


def read_key_file(path: Path) -> OperatorKey:
    """Read a key. Raises StartupError when it is missing, none, or others than its owner can read it."""
    try:
        with path.open("rb") as file:
            # Of the file that is open, not of the name: it may be another one by now.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(1024)
    except OSError as error:
        raise StartupError(f"key file {path}: {error.strerror}") from error
    if mode & 0o077:
        raise StartupError(
            f"key file {path}: others than its owner can use it (mode {mode:04o}); say: chmod 600 {path}"
        )
    return _parsed(text, f"key file {path}")


def find_key(path: Path | None, environment: Mapping[str, str] = os.environ) -> OperatorKey | None:
    """Return the key of a file, else that of the environment variable GERBANG_KEY, else None. Raises StartupError."""
    if path is not None:
        return read_key_file(path)
    text = environment.get(ENVIRONMENT)
    return _parsed(text.encode(), f"environment variable {ENVIRONMENT}") if text else None


def _parsed(text: bytes, source: str) -> OperatorKey:
    try:
        secret = binascii.a2b_base64(text.strip(), strict_mode=True)
    except binascii.Error:
        secret = b""
    if len(secret) != KEY_BYTES:
        raise StartupError(f"{source}: is not a key; gerbang key create FILE makes one")
    return OperatorKey(secret)
