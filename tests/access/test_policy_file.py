"""The policy file: what it may say, whom it lets in, and that a change of it counts at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from access.pki import GuardedServer, Pki, SecureWire, until
from gerbang_service.access import files
from gerbang_service.access.identity import Identity, Role
from gerbang_service.access.policy import Kind, Policy, load
from gerbang_service.domain.errors import StartupError, Unauthenticated

POLICY = """
[[identity]]
san = "gate-7.airport.example"
role = "gate"
watchlists = ["cegah"]

[[identity]]
san = "*.counters.example"
role = "counter"

[[identity]]
san = "boss.counters.example"
role = "admin"

[[identity]]
san = "spiffe://airport.example/auditor"
role = "auditor"

[[identity]]
san = "Clerk@Airport.example"
role = "enrolment"
"""


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    """The policy above, as read from its file."""
    file = tmp_path / "policy.toml"
    file.write_text(POLICY)
    return load(file)


@pytest.mark.parametrize(
    ("kind", "name", "role", "known_as"),
    [
        (Kind.DNS, "gate-7.airport.example", Role.GATE, "gate-7.airport.example"),
        (Kind.DNS, "GATE-7.Airport.Example.", Role.GATE, "gate-7.airport.example"),
        (Kind.DNS, "c3.counters.example", Role.COUNTER, "c3.counters.example"),
        (Kind.DNS, "boss.counters.example", Role.ADMIN, "boss.counters.example"),
        (Kind.URI, "spiffe://airport.example/auditor", Role.AUDITOR, "spiffe://airport.example/auditor"),
        (Kind.EMAIL, "clerk@airport.example", Role.ENROLMENT, "clerk@airport.example"),
    ],
)
def test_a_name_of_the_certificate_has_the_role_of_its_entry(
    policy: Policy, kind: Kind, name: str, role: Role, known_as: str
) -> None:
    """DNS names and addresses in any case, one label under a wildcard, an exact entry before it; known by its name."""
    lists = frozenset({"cegah"}) if role is Role.GATE else None
    assert policy.identity({kind: [name]}) == Identity(known_as, role, lists)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Kind.DNS, "gate-8.airport.example"),
        (Kind.DNS, "evil-gate-7.airport.example"),
        (Kind.DNS, "a.b.counters.example"),
        (Kind.DNS, "counters.example"),
        (Kind.DNS, "*.counters.example"),
        (Kind.DNS, ""),
        (Kind.URI, "gate-7.airport.example"),
        (Kind.EMAIL, "gate-7.airport.example"),
        (Kind.DNS, "spiffe://airport.example/auditor"),
        (Kind.URI, "spiffe://airport.example/Auditor"),
        (Kind.URI, "spiffe://airport.example/auditor/"),
    ],
)
def test_other_names_are_nobodys(policy: Policy, kind: Kind, name: str) -> None:
    """Also a wildcard certificate, and a name of another kind that reads the same."""
    with pytest.raises(Unauthenticated):
        policy.identity({kind: [name]})


@pytest.mark.parametrize(
    "names",
    [
        ["gate-7.airport.example", "boss.counters.example"],
        ["gate-7.airport.example", "c3.counters.example"],
        ["boss.counters.example", "c3.counters.example"],
        ["c3.counters.example", "c3.desks.example"],
        ["gate-7.airport.example", "gate-8.desks.example"],
    ],
)
def test_a_certificate_of_two_entries_is_refused(tmp_path: Path, names: list[str]) -> None:
    """Nobody is two: which one called would be a guess, whether they may do the same or not."""
    file = tmp_path / "policy.toml"
    more = "[[identity]]\nsan = '{}'\nrole = '{}'\n"
    file.write_text(POLICY + more.format("*.desks.example", "counter") + more.format("gate-8.desks.example", "gate"))
    with pytest.raises(Unauthenticated, match="several identities"):
        load(file).identity({Kind.DNS: names})


def test_a_certificate_with_two_names_of_one_entry_is_its(policy: Policy) -> None:
    """A wildcard stands for both; it is known by the first."""
    both = {Kind.DNS: ["c3.counters.example", "c4.counters.example", "elsewhere.example"]}
    assert policy.identity(both) == Identity("c3.counters.example", Role.COUNTER)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at least one"),
        ("identity = []", "at least one"),
        ("identity = [1]", "identity 1: must be an"),
        ("[identity]\nsan = 'a'", "must hold"),
        ("[[identity]]\nrole = 'gate'", "identity 1: san must be"),
        ("[[identity]]\nsan = 'a b'\nrole = 'gate'", "identity 1: san must be"),
        ("[[identity]]\nsan = 'a'", "identity 1: role must be one of gate, counter"),
        ("[[identity]]\nsan = 'a'\nrole = 'root'", "identity 1: role must be one of"),
        ("[[identity]]\nsan = 'a'\nrole = ['gate']", "identity 1: role must be one of"),
        ("[[identity]]\nsan = 'a'\nrole = 'gate'\nwatchlist = ['x']", "identity 1: .*not watchlist"),
        ("[[identity]]\nsan = 'a'\nrole = 'gate'\nwatchlists = []", "identity 1: watchlists must be ids"),
        ("[[identity]]\nsan = 'a'\nrole = 'gate'\nwatchlists = 'x'", "identity 1: watchlists must be ids"),
        ("[[identity]]\nsan = 'a'\nrole = 'gate'\nwatchlists = ['x y']", "identity 1: watchlists: must be 1 to 128"),
        ("[[identity]]\nsan = 'a*.x'\nrole = 'gate'", "identity 1: .*wildcard"),
        ("[[identity]]\nsan = '*'\nrole = 'admin'", "identity 1: .*wildcard"),
        ("[[identity]]\nsan = '*.'\nrole = 'admin'", "identity 1: .*wildcard"),
        ("[[identity]]\nsan = '*.*.x'\nrole = 'gate'", "identity 1: .*wildcard"),
        ("[[identity]]\nsan = 'spiffe://x/*'\nrole = 'gate'", "identity 1: .*wildcard"),
        ("[[identity]]\nsan = '*@x'\nrole = 'gate'", "identity 1: .*wildcard"),
        ("[[identity]]\nsan = 'a'\nrole = 'gate'\n[[identity]]\nsan = 'A'\nrole = 'admin'", "identity 2: san a has"),
        ("default = 'admin'\n[[identity]]\nsan = 'a'\nrole = 'gate'", "and nothing else"),
        ("[[identity]]\nsan = '.'\nrole = 'admin'", "identity 1: san . is no name"),
        ("[[identity]\n", "policy"),
        ("x = " + "1" * 5000, "policy"),
        ("x = " + "[" * 3000, "policy"),
    ],
)
def test_what_it_cant_say_is_refused_by_entry(tmp_path: Path, text: str, said: str) -> None:
    """One clear sentence; nothing that is misspelt is passed over."""
    file = tmp_path / "policy.toml"
    file.write_text(text)
    with pytest.raises(StartupError, match=f"^setting policy: .*{said}"):
        load(file)


def test_an_empty_binding_cant_be_made() -> None:
    """Bound to nothing would read as "all lists" further on."""
    with pytest.raises(ValueError, match="at least one"):
        Identity("a", Role.GATE, frozenset())


def test_a_change_counts_for_open_connections_and_a_bad_one_not_at_all(pki: Pki, data: Path) -> None:
    """Within a second a role is taken from, and given to, who is connected already; a slip leaves all as it was."""
    pki.client("clerk", "auditor")
    before = pki.policy.read_text()
    with GuardedServer(data, pki) as server, SecureWire(server.address, pki.credentials("clerk")) as wire:
        assert wire.reason("ListSubjects") == "OK"
        pki.write_policy(before.replace('"auditor"', '"gate"'))
        assert until(lambda: wire.reason("ListSubjects") == "ROLE_DENIED", 1.5)
        pki.write_policy(before.replace('san = "clerk"', 'san = "someone-else"'))
        assert until(lambda: wire.reason("ListSubjects") == "UNAUTHENTICATED", 1.5)
        pki.write_policy(before)
        assert until(lambda: wire.reason("ListSubjects") == "OK", 1.5)
        pki.write_policy(before + "[[identity]]\nsan = 'x'\nrole = 'nonsense'\n")
        assert until(lambda: wire.reason("ListSubjects") != "OK" or "the old one stays in force" in server.stderr, 3)
        assert wire.reason("ListSubjects") == "OK"
        pki.policy.unlink()
        assert not until(lambda: wire.reason("ListSubjects") != "OK", 1.2)
        assert server.stderr.count("stays in force") == 2
        pki.write_policy(before.replace('"auditor"', '"gate"'))
        assert until(lambda: wire.reason("ListSubjects") == "ROLE_DENIED", 1.5)


@pytest.mark.parametrize("error", [StartupError("odd"), ValueError("odd"), RecursionError("odd"), KeyError("odd")])
@pytest.mark.parametrize("where", ["make", "on_change"])
def test_a_refreshed_file_never_fails_who_looks_at_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str, error: Exception
) -> None:
    """Whatever making something of it raises: said once, what was in force stays so, and it is tried again."""
    monkeypatch.setattr(files, "LOOK_EVERY_S", 0)
    file = tmp_path / "file"
    file.write_text("first")
    broken = False

    def fail(_: str = "") -> str:
        if broken:
            raise error
        return file.read_text()

    refreshed = files.Refreshed("it", [file], *((fail,) if where == "make" else (file.read_text, fail)))
    file.write_text("second one")
    broken = True
    assert [refreshed.current() for _ in range(3)] == ["first"] * 3
    assert caplog.text.count("the old one stays in force: ") == 1
    broken = False
    assert refreshed.current() == "second one"
