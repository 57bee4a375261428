"""Text of a policy file, and of an API token, as they come from an operator and a caller."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gerbang_service", "tomllib"]):
    from gerbang_service.access.policy import Kind, load
    from gerbang_service.access.tokens import is_token
    from gerbang_service.domain.errors import StartupError, Unauthenticated

from fuzz.target import BUILD, run

FILE = BUILD / "access_text" / "policy.toml"


def one(data: bytes) -> None:
    """Read a policy, and ask it for a name that is in it and one that is not: an identity, or a refusal."""
    is_token(data.decode(errors="replace"))
    FILE.write_bytes(data)
    try:
        policy = load(FILE)
        for kind, name in (*policy.entries, (Kind.DNS, "nobody.example"), (Kind.DNS, "gate.airport.example")):
            try:
                policy.identity({kind: [name]})
            except Unauthenticated:
                continue
    except StartupError as refusal:
        assert str(refusal)


def seeds() -> Iterator[bytes]:
    """Yield policies with all that they may say."""
    entry = '[[identity]]\nsan = "{}"\nrole = "{}"\n'
    yield entry.format("gate-7.airport.example", "gate").encode()
    yield (entry.format("*.airport.example", "counter") + 'watchlists = ["cegah", "tangkal"]\n').encode()
    yield entry.format("spiffe://airport/office", "enrolment").encode() + entry.format("a@b.example", "admin").encode()
    yield b'[[identity]]\nsan = "x"\nrole = 1\nwatchlists = []\nother = 1979-05-27T07:32:00Z\n'
    yield b"gbt_0123456789ab_" + b"A" * 43
    # What TOML's reader refuses with exceptions that are not its own.
    yield b"x = " + b"1" * 5000
    yield b"x = " + b"[" * 3000
    yield b"x" + b".x" * 2000 + b" = 1"
    yield entry.format(".", "admin").encode()


if __name__ == "__main__":
    Path(FILE.parent).mkdir(parents=True, exist_ok=True)
    run("access_text", seeds, one, longest=8192)
