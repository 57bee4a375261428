"""The lines of the log: how each is bound to all before it.

A line is one JSON object, ended by its hash: SHA-256 over the hash of the line before (32 zero bytes for the first) and
the line's own bytes up to there. With a key a code of that hash (HMAC-SHA-256, its first 128 bits) follows: anybody can
compute the hashes anew after a change, but nobody the codes without the key.

    {"sequence":7,"time":"2026-11-24T13:00:00.000000Z",...,"hash":"<64 hex digits>","mac":"<32 hex digits>"}
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from typing import Any

GENESIS = bytes(32)
"""What stands for the hash of the line before the first."""
PURPOSE = b"audit log"
"""What the key is derived for from the data key."""

_MAC_BYTES = 16  # half of SHA-256's, as RFC 2104 allows
_TAIL = re.compile(rb',"hash":"([0-9a-f]{64})"(?:,"mac":"([0-9a-f]{32})")?\}')
_TAIL_BYTES, _TAIL_WITH_MAC_BYTES = 75, 116
_START = re.compile(rb'\{"sequence":(\d{1,18}),"time":"')
_HEAD_PURPOSE = b"head "


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: the sequence number of its last record, and that one's hash (32 bytes)."""

    sequence: int
    digest: bytes

    def __str__(self) -> str:
        return f"{self.sequence}:{self.digest.hex()}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read what `str` gave; raise ValueError for anything else."""
        sequence, _, digest = text.strip().partition(":")
        if not re.fullmatch(r"[0-9]{1,18}", sequence) or not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ValueError(f"{text!r} is not SEQUENCE:HASH")
        return cls(int(sequence), bytes.fromhex(digest))


NOTHING = Head(0, GENESIS)
"""The head of a chain without a record."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line taken apart, not checked. `body`: what is hashed; `mac`: None for a line without a key."""

    sequence: int
    body: bytes
    digest: bytes
    mac: bytes | None

    @property
    def head(self) -> Head:
        """The head of a chain that ends here."""
        return Head(self.sequence, self.digest)

    def record(self) -> dict[str, Any]:
        """Return the record; raise ValueError when it is none."""
        return dict(json.loads(self.body + b"}"))


def take_apart(line: bytes) -> Line | None:
    """Take a line, without its end of line, apart; None when it has not the form of one."""
    start = _START.match(line)
    tail = _TAIL.fullmatch(line, max(len(line) - _TAIL_WITH_MAC_BYTES, 0)) or _TAIL.fullmatch(
        line, max(len(line) - _TAIL_BYTES, 0)
    )
    if start is None or tail is None:
        return None
    mac = None if tail[2] is None else bytes.fromhex(tail[2].decode())
    return Line(int(start[1]), line[: tail.start()], bytes.fromhex(tail[1].decode()), mac)


class Seal:
    """Makes and checks lines, with a key or without. Immutable."""

    def __init__(self, key: bytes | None) -> None:
        """`key`: 32 bytes, derived from the data key for PURPOSE; None where encryption is off."""
        self._key = key

    @property
    def keyed(self) -> bool:
        """Whether there is a key."""
        return self._key is not None

    @property
    def key_id(self) -> str:
        """Which key it is, without telling the key; empty without one."""
        return "" if self._key is None else hmac.digest(self._key, b"id", "sha256").hex()[:8]

    def close(self, body: bytes, previous: bytes) -> tuple[bytes, bytes]:
        """Return the line of a body (a JSON object without its last brace), with its end of line, and its hash."""
        digest = link(previous, body)
        mac = "" if self._key is None else f',"mac":"{self._mac(digest).hex()}"'
        return b'%b,"hash":"%b"%b}\n' % (body, digest.hex().encode(), mac.encode()), digest

    def vouches(self, line: Line) -> bool:
        """Tell whether the line's code is of this key, so that who wrote it had the key. Only with a key."""
        return line.mac is not None and hmac.compare_digest(line.mac, self._mac(line.digest))

    def head_mac(self, body: bytes) -> str:
        """Return the code of a head file; empty without a key."""
        return "" if self._key is None else self._mac(_HEAD_PURPOSE + body).hex()

    def _mac(self, message: bytes) -> bytes:
        return hmac.digest(self._key or b"", message, "sha256")[:_MAC_BYTES]


def link(previous: bytes, body: bytes) -> bytes:
    """Return the hash of a line with this body, after one with the hash `previous`."""
    return hashlib.sha256(previous + body).digest()
