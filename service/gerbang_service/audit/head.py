"""The head file: how far the log goes, kept beside it, so that a tail that was cut off is missed.

It is written after what it tells of is on disk, about a second later. So after a crash the log may go on beyond its
head, but never ends before it: a log that does was cut.
"""

from __future__ import annotations

import errno
import hmac
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gerbang_service.audit.chain import Head, Seal
from gerbang_service.audit.files import HEAD_FILE


class HeadInvalid(Exception):
    """The head file is not one that this log's writer wrote."""


@dataclass(frozen=True, slots=True)
class Noted:
    """What the head file says.

    `revision`: all changes up to it have their records; None when that isn't known. `keyed`: whether it has a code.
    """

    head: Head
    revision: int | None
    keyed: bool = False


def read_head(folder: Path, seal: Seal) -> Noted | None:
    """Return what the head file says, or None when there is none.

    Raises HeadInvalid when it is not one, or its code not of this key; OSError when it can't be read.
    """
    try:
        text = (folder / HEAD_FILE).read_bytes()
    except FileNotFoundError:
        return None
    try:
        content = json.loads(text)
        mac = str(content.pop("mac", "")).encode()
        noted = Noted(Head(content["sequence"], bytes.fromhex(content["hash"])), content["revision"], keyed=bool(mac))
        sound = len(noted.head.digest) == 32 and noted.head.sequence >= 0
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HeadInvalid("it can't be read") from error
    if not sound:
        raise HeadInvalid("it can't be read")
    if mac and seal.keyed and not hmac.compare_digest(mac, seal.head_mac(_body(noted)).encode()):
        raise HeadInvalid("it was not written with this key")
    return noted


def write_head(folder: Path, seal: Seal, noted: Noted) -> None:
    """Put a new head in the old one's place, durably and at once. Raises OSError; the old one is then kept."""
    body = _body(noted)
    if seal.keyed:
        body = body[:-1] + b',"mac":"%b"}' % seal.head_mac(body).encode()
    new = folder / f"{HEAD_FILE}.new"
    try:
        descriptor = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        try:
            if os.write(descriptor, body + b"\n") <= len(body):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        new.replace(folder / HEAD_FILE)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise


def _body(noted: Noted) -> bytes:
    content = {"sequence": noted.head.sequence, "hash": noted.head.digest.hex(), "revision": noted.revision}
    return json.dumps(content, separators=(",", ":")).encode()
