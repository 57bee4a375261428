"""The policy: which client certificate is whose, and what its holder may do.

    [[identity]]
    san = "gate-7.airport.example"       # a DNS name of the certificate, or "*.gates.airport.example"
    role = "gate"
    watchlists = ["cegah", "tangkal"]    # optional: bound to these

A name with `://` is a URI of the certificate (SPIFFE ids are), one with `@` an email address; both are matched whole.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from gerbang_service.access.files import Refreshed, check_unwritable, read, replace
from gerbang_service.access.identity import Identity, Role
from gerbang_service.domain.errors import FieldInvalid, StartupError, Unauthenticated
from gerbang_service.domain.identifiers import check_id

_WILDCARD = "*."
# Of a new policy file: nothing in it is secret.
_POLICY_MODE = 0o644


class Kind(Enum):
    """Kinds of names in a certificate's SAN; the values are gRPC's keys for them."""

    DNS = "peer_dns"
    URI = "peer_uri"
    EMAIL = "peer_email"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the policy. `watchlists`: bound to these, None for all."""

    role: Role
    watchlists: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Policy:
    """Who has which role, by kind and name. Immutable. `digest`: SHA-256 of the file, hexadecimal."""

    entries: Mapping[tuple[Kind, str], Entry]
    digest: str

    def identity(self, names: Mapping[Kind, Collection[str]]) -> Identity:
        """Return who has a certificate with these names; raise Unauthenticated for nobody, or for two at once.

        Two are two entries, even of one role: the audit log could not say which of them called.
        """
        own = sorted({(kind, _normal(kind, each)) for kind, found in names.items() for each in found}, key=str)
        named = {key: name for kind, name in reversed(own) if (key := self._key(kind, name)) is not None}
        if not named:
            raise Unauthenticated("no name of the client certificate is in the server's policy")
        if len(named) > 1:
            raise Unauthenticated("names of the client certificate are of several identities in the server's policy")
        ((key, name),) = named.items()
        return Identity(name, self.entries[key].role, self.entries[key].watchlists)

    def _key(self, kind: Kind, name: str) -> tuple[Kind, str] | None:
        """Return the key of a name's entry: the one for the very name goes before one with a wildcard."""
        if "*" in name:
            return None  # a certificate's own wildcard is nobody
        keys = [(kind, name), *([(kind, _wildcard(name))] if kind is Kind.DNS else [])]
        return next((key for key in keys if key in self.entries), None)


def kind_of(name: str) -> Kind:
    """Tell what kind of name a policy means."""
    if "://" in name:
        return Kind.URI
    return Kind.EMAIL if "@" in name else Kind.DNS


def _normal(kind: Kind, name: str) -> str:
    return name if kind is Kind.URI else name.lower().rstrip(".")


def _wildcard(name: str) -> str:
    """Return the pattern that a DNS name matches: its first label replaced."""
    return _WILDCARD + name.partition(".")[2]


def refreshed_policy(path: Path, on_change: Callable[[Policy], object]) -> Refreshed[Policy]:
    """Read a policy file, and again whenever it changes; raise StartupError when it can't be used."""
    return Refreshed("the policy", [path], lambda: load(path), on_change)


def load(path: Path) -> Policy:
    """Read a policy file; raise StartupError, which says what is wrong in which entry."""
    check_unwritable("policy", path, stat.S_IWOTH)
    text = read("policy", path)
    try:
        content = tomllib.loads(text.decode())
    # Not TOMLDecodeError alone: a number of thousands of digits is a plain ValueError, deep nesting a RecursionError.
    except (ValueError, RecursionError) as error:
        raise StartupError(f"setting policy: {path}: {error}") from error
    listed = content.pop("identity", None)
    if content or not isinstance(listed, list) or not listed:
        raise StartupError(f"setting policy: {path} must hold [[identity]] tables, at least one, and nothing else")
    entries: dict[tuple[Kind, str], Entry] = {}
    for number, values in enumerate(listed, start=1):
        try:
            key, entry = _entry(values)
        except (ValueError, FieldInvalid) as error:
            raise StartupError(f"setting policy: {path}: identity {number}: {error}") from error
        if key in entries:
            raise StartupError(f"setting policy: {path}: identity {number}: san {key[1]} has an entry already")
        entries[key] = entry
    return Policy(entries, hashlib.sha256(text).hexdigest())


def _entry(values: Any) -> tuple[tuple[Kind, str], Entry]:  # noqa: ANN401 - what TOML gave
    if not isinstance(values, dict):
        raise ValueError("must be an [[identity]] table")  # noqa: TRY004 - of the file, not of a call
    unknown = sorted(set(values) - {"san", "role", "watchlists"})
    if unknown:
        raise ValueError(f"has san, role and perhaps watchlists, not {', '.join(unknown)}")
    return _name(values.get("san")), Entry(_role(values.get("role")), watchlists_of(values.get("watchlists")))


def _name(value: object) -> tuple[Kind, str]:
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("san must be a name of the client certificate, such as gate-7.airport.example")
    kind = kind_of(value)
    name = _normal(kind, value)
    if not name:
        raise ValueError(f"san {value} is no name")
    if "*" in name.removeprefix(_WILDCARD if kind is Kind.DNS else "") or name == _WILDCARD:
        raise ValueError(f"san {value}: a wildcard stands for the first label of a DNS name, as in *.airport.example")
    return kind, name


def _role(value: object) -> Role:
    try:
        return Role(value)
    except ValueError:
        raise ValueError(f"role must be one of {', '.join(each.value for each in Role)}") from None


def watchlists_of(value: object) -> frozenset[str] | None:
    """Check the lists that somebody is bound to; None: to none. Raises ValueError, FieldInvalid."""
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise ValueError("watchlists must be ids of lists, at least one; leave it away for all")
    return frozenset(check_id("watchlists", each) for each in value)


def entry_text(name: str, role: Role, watchlists: Collection[str]) -> str:
    """Return the lines of a policy file that give a certificate's DNS name a role."""
    quoted = ", ".join(f'"{each}"' for each in watchlists)
    bound = f"watchlists = [{quoted}]\n" if watchlists else ""
    return f'[[identity]]\nsan = "{name}"\nrole = "{role.value}"\n{bound}\n'


def add_entry(path: Path, entry: str) -> None:
    """Add the lines of an entry to a policy file, which need not exist; its owner and mode stay. Raises OSError.

    Whole or not at all: of half an entry the last line, which binds it to watchlists, could be missing.
    """
    file = path.resolve()
    known = file.stat() if file.exists() else None
    before = "" if known is None else file.read_text()
    gap = "" if before.endswith("\n") or not before else "\n"
    replace(file, f"{before}{gap}{entry}".encode(), _POLICY_MODE if known is None else stat.S_IMODE(known.st_mode))
    if known is not None:
        os.chown(file, known.st_uid, known.st_gid)
        file.chmod(stat.S_IMODE(known.st_mode))


def has_entry(path: Path, name: str, role: Role, watchlists: frozenset[str] | None) -> bool:
    """Tell whether a policy file, which need not exist, gives a DNS name just this; raise StartupError for another."""
    if not path.exists():
        return False
    entry = load(path).entries.get((Kind.DNS, name))
    if entry is not None and entry != Entry(role, watchlists):
        raise StartupError(f"{path} says something else of {name}: change it there")
    return entry is not None
