"""API tokens: made once, shown once, kept as a hash; and the book of them that a server checks callers against."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from gerbang_service.access.identity import Identity, Role
from gerbang_service.domain.errors import Unauthenticated
from gerbang_service.store.port import StoredToken, TokenReader

log = logging.getLogger(__name__)

# gbt_ID_SECRET: an id of 48 bits that may be shown and logged, and 256 random bits.
_FORM = re.compile(r"gbt_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_ID = re.compile(r"[0-9a-f]{12}")
_ID_BYTES, _SECRET_BYTES = 6, 32
# How often the book looks for tokens that were made or revoked, seconds: revoked means within a second.
_LOOK_EVERY_S = 0.25
_NOBODYS = bytes(32)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made. `text` is what the client sends, and is nowhere else."""

    text: str = field(repr=False)
    stored: StoredToken


def new_token(
    name: str, role: Role, watchlists: frozenset[str] | None = None, expire_time_ns: int | None = None
) -> NewToken:
    """Make a token from the operating system's randomness. `name` empty: its id."""
    token_id = secrets.token_hex(_ID_BYTES)
    text = f"gbt_{token_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    lists = None if watchlists is None else tuple(sorted(watchlists))
    stored = StoredToken(token_id, _digest(text), name or token_id, role.value, lists, time.time_ns(), expire_time_ns)
    return NewToken(text, stored)


def is_token(text: str) -> bool:
    """Tell whether a text has the form of a token."""
    return _FORM.fullmatch(text) is not None


def is_token_id(text: str) -> bool:
    """Tell whether a text has the form of a token's id."""
    return _ID.fullmatch(text) is not None


def id_of(text: str) -> str:
    """Return the id of a text that is a token's: the part of it that may be shown."""
    return text.split("_")[1]


class TokenBook:
    """The tokens of a data folder, as of at most a quarter of a second ago. Belongs to one thread."""

    def __init__(
        self,
        reading: Callable[[], AbstractContextManager[TokenReader]],
        note: Callable[[dict[str, Any]], object],
    ) -> None:
        """Make a book that is read at its first use. `reading` lends a thread's queries.

        `note` is told, for the audit log, which tokens the book finds that let somebody in, at first or newly, and
        which of them don't any more: before anybody is let in by one.
        """
        self._reading = reading
        self._note = note
        self._known: dict[str, tuple[StoredToken, Identity]] = {}
        self._version: int | None = None
        self._looked_at = float("-inf")

    def identity(self, text: str) -> Identity:
        """Return whose token it is.

        Raises Unauthenticated for one that is unknown, revoked or expired, and StoreUnavailable when the tokens can't
        be looked at: a revoked one must not go on working because the disk failed.
        """
        self._look()
        form = _FORM.fullmatch(text)
        known = self._known.get(form[1]) if form else None
        # The digest is compared whether the id is known or not, and in constant time.
        if not hmac.compare_digest(_digest(text), known[0].digest if known else _NOBODYS) or known is None:
            # Its id is what the caller says: perhaps of another server's token.
            raise Unauthenticated("the API token is not known", **({"token_id": form[1]} if form else {}))
        stored, identity = known
        if stored.revoke_time_ns is not None:
            raise Unauthenticated(f"API token {stored.token_id} was revoked", token_id=stored.token_id)
        if stored.expire_time_ns is not None and stored.expire_time_ns <= time.time_ns():
            raise Unauthenticated(f"API token {stored.token_id} has expired", token_id=stored.token_id)
        return identity

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < _LOOK_EVERY_S:
            return
        with self._reading() as reader:
            # Before the tokens: what is committed in between is then seen at the next look.
            version = reader.token_version()
            if version != self._version:
                known = dict(filter(None, map(_entry, reader.tokens())))
                self._note_changes(known)
                self._known, self._version = known, version
        self._looked_at = now

    def _note_changes(self, known: dict[str, tuple[StoredToken, Identity]]) -> None:
        before, after = _unrevoked(self._known), _unrevoked(known)
        for token_id, stored in after.items():
            if before.get(token_id) != stored:
                lists = None if stored.watchlists is None else list(stored.watchlists)
                facts = {"token_id": token_id, "name": stored.name, "role": stored.role, "watchlists": lists}
                self._note({"event": "token", **facts, "expire_time_ns": stored.expire_time_ns})
        for token_id in before.keys() - after.keys():
            self._note({"event": "token_revoked", "token_id": token_id, "name": before[token_id].name})


def _unrevoked(known: dict[str, tuple[StoredToken, Identity]]) -> dict[str, StoredToken]:
    return {token_id: stored for token_id, (stored, _) in known.items() if stored.revoke_time_ns is None}


def _entry(stored: StoredToken) -> tuple[str, tuple[StoredToken, Identity]] | None:
    try:
        lists = None if stored.watchlists is None else frozenset(stored.watchlists)
        # Two tokens may have one name: the id tells them apart, in the audit log and for who has to revoke one.
        identity = Identity(f"{stored.name}#{stored.token_id}", Role(stored.role), lists)
    except ValueError:
        log.error("API token %s has no role or binding that this version knows, and lets nobody in", stored.token_id)  # noqa: TRY400
        return None
    return stored.token_id, (stored, identity)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
