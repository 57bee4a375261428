"""`gerbang certs`, `gerbang token`, and how the asking commands say who asks."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store

from access.pki import TEMPLATES, GuardedServer, Pki, gerbang_command, new_token
from gerbang_service.access.identity import Role
from gerbang_service.access.policy import Entry, Kind, add_entry, entry_text, load
from gerbang_service.cli.root import root
from running import KEY, RunningServer


def run(*arguments: str, **env: str) -> Result:
    """Run a `gerbang` command."""
    return CliRunner().invoke(root, arguments, prog_name="gerbang", env={"GERBANG_KEY": KEY, **env})


def refusal(*arguments: str, **env: str) -> str:
    """Run a command that must fail; return all it printed."""
    done = run(*arguments, **env)
    assert done.exit_code not in (0, None), done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.output


def test_two_commands_make_all_that_mutual_tls_needs(tmp_path: Path, data: Path) -> None:
    """An authority with the server's certificate, and a client's; the server and the command line take them so."""
    pki = str(tmp_path / "pki")
    gerbang_command("certs", "ca", pki)
    printed = gerbang_command("certs", "issue", pki, "auditor-1", "--role", "auditor")
    assert 'san = "auditor-1"' in printed
    made = [f"--{name.replace('_', '-')}={pki}/{file}" for name, file in _SERVER.items()]
    with RunningServer(data, *TEMPLATES, *made) as server:
        asked = ("--server", server.address, "--ca", f"{pki}/ca.pem")
        own = ("--client-certificate", f"{pki}/auditor-1.pem", "--client-key", f"{pki}/auditor-1.key")
        assert "dimension" in gerbang_command("info", *asked, *own)
        denied = run("watchlist", "create", "w", *asked, *own)
        assert (denied.exit_code, "ROLE_DENIED" in denied.output) == (3, True)
        env = {
            f"GERBANG_{name}": value
            for name, value in zip(("CLIENT_CERTIFICATE", "CLIENT_KEY"), own[1::2], strict=True)
        }
        assert run("info", GERBANG_SERVER=server.address, GERBANG_CA=f"{pki}/ca.pem", **env).exit_code == 0
        assert run("info", *asked).exit_code == 3


_SERVER = {
    "tls_certificate": "server.pem",
    "tls_key": "server.key",
    "client_ca": "ca.pem",
    "policy": "policy.toml",
}


def test_keys_are_their_owners_alone_and_certificates_are_sound(tmp_path: Path) -> None:
    """Files 0600, folder 0700, P-256, an authority that signs leaves only, and a chain that a strict verifier takes."""
    folder = tmp_path / "pki"
    old = os.umask(0)
    try:
        gerbang_command("certs", "ca", str(folder), "--host", "gerbang.airport.example", "--host", "192.0.2.7")
        gerbang_command("certs", "issue", str(folder), "gate-7.airport.example", "--role", "gate")
    finally:
        os.umask(old)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in folder.glob("*.key")} == {0o600}
    ca, server, gate = (
        x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
        for name in ("ca", "server", "gate-7.airport.example")
    )
    for each in (ca, server, gate):
        key = each.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert key.curve.name == "secp256r1"
    verifier = PolicyBuilder().store(Store([ca]))
    verifier.build_server_verifier(x509.DNSName("gerbang.airport.example")).verify(server, [])
    assert verifier.build_client_verifier().verify(gate, []).subjects == [x509.DNSName("gate-7.airport.example")]
    with pytest.raises(x509.verification.VerificationError):
        verifier.build_client_verifier().verify(server, [])


def test_issuing_again_renews_and_another_role_is_refused(tmp_path: Path) -> None:
    """The files are new, the policy says the same once; what it says otherwise is changed there, by a person."""
    folder = str(tmp_path / "pki")
    gerbang_command("certs", "ca", folder)
    issue = ("certs", "issue", folder, "clerk", "--role", "enrolment", "--watchlist", "airline")
    gerbang_command(*issue)
    before = (tmp_path / "pki" / "clerk.pem").read_bytes()
    gerbang_command(*issue)
    assert (tmp_path / "pki" / "clerk.pem").read_bytes() != before
    entries = load(tmp_path / "pki" / "policy.toml").entries
    role = next(iter(entries.values())).role
    assert entries == {(Kind.DNS, "clerk"): Entry(role, frozenset({"airline"}))}
    renewed = (tmp_path / "pki" / "clerk.pem").read_bytes()
    assert "says something else of clerk" in refusal("certs", "issue", folder, "clerk", "--role", "admin")
    assert (tmp_path / "pki" / "clerk.pem").read_bytes() == renewed


@pytest.mark.parametrize("end", ["", "\n", "  # the last line"])
def test_an_entry_is_added_to_a_policy_as_it_is(tmp_path: Path, end: str) -> None:
    """With or without a last line end, the mode kept, and what was there before too."""
    folder = tmp_path / "pki"
    gerbang_command("certs", "ca", str(folder))
    policy = folder / "policy.toml"
    written = f'[[identity]]\nsan = "gate-1"\nrole = "gate"{end}'
    policy.write_text(written)
    policy.chmod(0o660)
    gerbang_command("certs", "issue", str(folder), "gate-7", "--role", "gate", "--watchlist", "cegah")
    assert policy.read_text().startswith(written)
    assert load(policy).entries == {
        (Kind.DNS, "gate-1"): Entry(Role.GATE, None),
        (Kind.DNS, "gate-7"): Entry(Role.GATE, frozenset({"cegah"})),
    }
    assert stat.S_IMODE(policy.stat().st_mode) == 0o660
    assert not [each for each in folder.iterdir() if each.name.endswith(".new")]


def test_an_entry_is_never_written_by_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its last line an entry would be bound to nothing: a full disk leaves the policy as it was."""
    policy = tmp_path / "policy.toml"
    policy.write_text('[[identity]]\nsan = "gate-1"\nrole = "gate"\n')
    before = policy.read_text()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        add_entry(policy, entry_text("gate-7", Role.GATE, ["cegah"]))
    assert policy.read_text() == before


@pytest.mark.parametrize("way", [("server", "--role", "gate"), ("gate-7", "--host", "gate-7.example")])
def test_a_certificate_does_not_take_the_place_of_one_for_something_else(tmp_path: Path, way: tuple[str, ...]) -> None:
    """The server would not start again with a client's certificate, nor a gate be let in with a server's."""
    folder = tmp_path / "pki"
    gerbang_command("certs", "ca", str(folder))
    gerbang_command("certs", "issue", str(folder), "gate-7", "--role", "gate")
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    assert "is for something else" in refusal("certs", "issue", str(folder), *way)
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before
    gerbang_command("certs", "issue", str(folder), "server", "--host", "localhost")
    assert (folder / "server.pem").read_bytes() != before["server.pem"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ca", "{}"], "has an authority already"),
        (["issue", "{}-not", "a", "--role", "gate"], "no authority"),
        (["issue", "{}", "a"], "either --role"),
        (["issue", "{}", "a", "--role", "gate", "--host", "b"], "either --role"),
        (["issue", "{}", "../a", "--role", "gate"], "no DNS name"),
        (["issue", "{}", "*.a", "--role", "gate"], "no DNS name"),
        (["issue", "{}", "ca", "--role", "admin"], "authority's own"),
        (["issue", "{}", "a", "--role", "gate", "--watchlist", "x y"], "1 to 128"),
        (["issue", "{}", "a", "--role", "king"], "Invalid value"),
    ],
)
def test_certificates_that_cant_be_issued_are_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    """One sentence, no trace, and no file is left or lost."""
    folder = tmp_path / "pki"
    Pki(folder)
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    assert said in refusal("certs", *(each.format(folder) for each in arguments))
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before


def test_the_asking_commands_take_a_token_from_a_file_or_the_environment(pki: Pki, data: Path, tmp_path: Path) -> None:
    """Never from the command line, where every user of the machine could read it."""
    with GuardedServer(data, pki) as server:
        text = new_token(data, "auditor")["token"]
        file = tmp_path / "token"
        file.write_text(text + "\n")
        asked = ("info", "--server", server.tokens, "--ca", str(pki.folder / "ca.pem"))
        gerbang_command(*asked, "--token-file", str(file))
        assert run(*asked, GERBANG_TOKEN=text).exit_code == 0
        nobody = run(*asked)
        assert (nobody.exit_code, "UNAUTHENTICATED" in nobody.output) == (3, True)
        assert "--token-file" in nobody.output
        in_the_clear = run("info", "--server", server.tokens, GERBANG_TOKEN=text)
        assert (in_the_clear.exit_code, "--ca" in in_the_clear.output) == (2, True)
        assert text not in in_the_clear.output
        for content, said in ((b"\xff\x00\xfe", "holds no token"), (text.encode() + b" x", "printable ASCII")):
            file.write_bytes(content)
            odd = run(*asked, "--token-file", str(file))
            assert (odd.exit_code, said in odd.output) == (2, True), odd.output
            assert text not in odd.output


def test_who_is_turned_away_in_the_handshake_is_told_what_to_look_at(guarded: GuardedServer, shared_pki: Pki) -> None:
    """The server gives no reason: the command line names what it may be."""
    for trusted in ((), ("--ca", str(shared_pki.folder / "ca.pem"))):
        done = run("info", "--server", guarded.address, *trusted)
        assert (done.exit_code, "--client-certificate" in done.output) == (3, True), done.output
        assert "turned the connection away" in done.output
        assert "can't be reached: OK" not in done.output


def test_a_handshake_that_the_client_gave_up_is_told_as_its_own(
    pki: Pki, data: Path, tmp_path: Path, templates_server: RunningServer
) -> None:
    """Another authority's server, one that has no such name, and one that speaks no TLS: nobody turned anybody away."""
    other = Pki(tmp_path / "other")
    pki.authority.issue_server("server", ["elsewhere.example"])
    with RunningServer(data, *TEMPLATES, *pki.tls) as server:
        for address, ca, said in (
            (server.address, other, "certificate is not of an authority in --ca"),
            (server.address, pki, "certificate is not for this name or address"),
            (templates_server.address, pki, "speaks no TLS"),
        ):
            done = run("info", "--server", address, "--ca", str(ca.folder / "ca.pem"))
            assert (done.exit_code, said in done.output) == (3, True), done.output
            assert "turned" not in done.output


def test_an_authority_that_cant_be_read_is_not_said_to_be_missing(pki: Pki) -> None:
    """Who was told so would make another, and all certificates anew."""
    key = pki.folder / "ca.key"
    key.write_text("no key")
    assert "not as 'gerbang certs ca' makes them" in refusal("certs", "issue", str(pki.folder), "a", "--role", "gate")
    key.unlink()
    assert "there is no authority" in refusal("certs", "issue", str(pki.folder), "a", "--role", "gate")
    key.mkdir()
    said = refusal("certs", "issue", str(pki.folder), "a", "--role", "gate")
    assert "ca.key: Is a directory" in said
    assert "no authority" not in said


def test_a_token_that_may_not_be_meant_is_made_with_a_note(tmp_path: Path) -> None:
    """Bound to a list that is not there, or of a name that is taken: on stderr, so that a program's stdout is whole."""
    data = tmp_path / "data"
    with RunningServer(data, *TEMPLATES):
        pass
    create = ("token", "create", "--data", str(data), "--role", "gate", "--name", "gate-7")
    first = run(*create)
    assert (first.exit_code, len(first.stderr.splitlines())) == (0, 1)
    second = run(*create, "--watchlist", "nosuch", "--json")
    assert second.exit_code == 0
    assert json.loads(second.stdout)["watchlists"] == ["nosuch"]
    assert "no watchlist nosuch" in second.stderr
    assert f"Token {first.stdout.split('_')[1]} has the name gate-7 too" in second.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "--role", "king"], "Invalid value"),
        (["create", "--role", "gate", "--name", "a b"], "1 to 128"),
        (["create", "--role", "gate", "--watchlist", ""], "1 to 128"),
        (["create", "--role", "gate", "--expires", "2020-01-01"], "is past"),
        (["create", "--role", "gate"], "no database yet"),
        (["list"], "no database yet"),
        (["revoke", "0123456789ab"], "no database yet"),
    ],
)
def test_tokens_that_cant_be_made_are_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    """One sentence, and no database is made by asking."""
    assert said in refusal("token", *arguments, "--data", str(tmp_path))
    assert not list(tmp_path.glob("*.sqlite3*"))


def test_revoking_what_is_not_there_or_not_in_force_is_an_error(pki: Pki, data: Path) -> None:
    """Who revokes in a hurry must not believe that it is done."""
    with GuardedServer(data, pki):
        made: dict[str, Any] = new_token(data, "gate")
    gerbang_command("token", "revoke", "--data", str(data), made["token_id"])
    for token_id, said in ((made["token_id"], "was revoked already"), ("0123456789ab", "there is no token")):
        assert said in refusal("token", "revoke", "--data", str(data), token_id)
