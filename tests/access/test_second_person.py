"""A list that asks for two people, over the wire and at the command line: by two certificates, and on record."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from access.pki import GuardedServer, Pki, new_token
from audit.logs import entries
from gerbang import (
    ProposalNotFound,
    RevisionConflict,
    RoleDenied,
    SamePerson,
    SecondPersonNeeded,
    WatchlistClient,
    enroll_request,
    error_of,
)
from gerbang.v1.watchlist_service_pb2 import Weakening
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.root import root
from rpc.wire import template


@pytest.fixture(scope="module")
def boss(guarded: GuardedServer, shared_pki: Pki) -> Iterator[WatchlistClient]:
    """An administrator."""
    with WatchlistClient(guarded.address, credentials=shared_pki.credentials("admin"), timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def clerk(guarded: GuardedServer, shared_pki: Pki) -> Iterator[WatchlistClient]:
    """Somebody else, of the enrolment office."""
    with WatchlistClient(guarded.address, credentials=shared_pki.credentials("enrolment"), timeout=30) as client:
        yield client


@pytest.fixture
def two(boss: WatchlistClient) -> Iterator[str]:
    """A list that asks for two people."""
    name = f"two-{uuid.uuid4().hex[:8]}"
    boss.create_watchlist(name, two_person_removal=True)
    yield name
    assert all(each.proposed_by in ("admin", "enrolment") for each in boss.list_proposals())


def enrolled(office: WatchlistClient, *lists: str) -> str:
    return office.enroll(f"who-{uuid.uuid4().hex[:8]}", [template(1)], watchlists=lists).subject.subject_id


def proposed(call: Any) -> str:
    with pytest.raises(SecondPersonNeeded) as raised:
        call()
    error = raised.value
    assert error.proposal_id
    assert str(error).startswith("SECOND_PERSON_NEEDED: not done")
    assert error.metadata["expire_time"].endswith("Z")
    return error.proposal_id


def record(server: GuardedServer, rpc: str, proposal_id: str) -> dict[str, Any]:
    """Return the last record of an rpc about a proposal."""
    found = [each for each in entries(server.data / "audit") if each.get("rpc") == rpc and proposal_id in str(each)]
    return found[-1]


def test_a_deletion_is_made_by_two(
    guarded: GuardedServer, boss: WatchlistClient, clerk: WatchlistClient, two: str
) -> None:
    """Shown until it is made, with who wants what and why; each step is on record with who took it."""
    who = enrolled(boss, two, "w")
    revision = boss.get_subject(who).revision
    number = proposed(lambda: clerk.delete_subject(who, note="court order", expected_revision=revision))
    assert list(boss.get_subject(who).open_proposals) == [number]
    assert [list(each.open_proposals) for each in boss.list_subjects(watchlist=two)] == [[number]]
    assert boss.get_watchlist(two).open_proposals == 1
    assert {each.watchlist_id: each.open_proposals for each in boss.list_watchlists()}[two] == 1
    shown = boss.get_proposal(number)
    assert list(boss.list_proposals(watchlist=two)) == [shown]
    assert (shown.proposed_by, shown.role, shown.note, shown.revision) == (
        "enrolment",
        "enrolment",
        "court order",
        revision,
    )
    assert shown.delete_subject.subject_id == who
    assert not shown.stale
    assert {each.watchlist_id: list(each.ways) for each in shown.weakened} == {
        name: [Weakening.WEAKENING_REMOVED] for name in (two, "w")
    }
    with pytest.raises(SamePerson):
        clerk.confirm_proposal(number)
    request_id = str(uuid.uuid4())
    done = boss.confirm_proposal(number, request_id=request_id)
    assert (sorted(done.removed_watchlists), done.proposal) == (sorted([two, "w"]), shown)
    again = boss.confirm_proposal(number, request_id=request_id)
    assert (again.replayed, again.revision) == (True, done.revision)
    assert boss.get_watchlist(two).open_proposals == 0
    made = record(guarded, "DeleteSubject", number)
    assert made["failed"]["reason"] == "SECOND_PERSON_NEEDED"
    assert (made["identity"], made["committed"]) == ("enrolment", done.revision - 1)
    confirmed = next(each for each in entries(guarded.data / "audit") if each.get("committed") == done.revision)
    assert (confirmed["rpc"], confirmed["identity"]) == ("ConfirmProposal", "admin")
    facts = {"subject_id": who, "change": "delete_subject", "proposed_by": "enrolment", "revision": done.revision}
    assert confirmed["answered"] == confirmed["answered"] | facts


def test_values_that_are_wanted_are_shown_and_made(boss: WatchlistClient, clerk: WatchlistClient, two: str) -> None:
    """Of a subject, of a list, and of a replacement, whose templates are not told."""
    who = enrolled(boss, two)
    first = proposed(lambda: clerk.update_subject(who, watchlists=["w"], labels={"a": "b"}))
    update = boss.get_proposal(first).update_subject
    assert (list(update.subject.watchlists), dict(update.subject.labels)) == (["w"], {"a": "b"})
    assert list(update.update_mask.paths) == ["labels", "watchlists"]
    second = proposed(
        lambda: clerk.enroll(
            who, [template(2), template(3)], on_existing="replace", watchlists=[two], allow_different=True
        )
    )
    assert boss.get_proposal(second).replace_subject.templates == 2
    (item,) = clerk.enroll_stream([enroll_request(who, [template(2)], on_existing="replace", allow_different=True)])
    error = error_of(item)
    assert isinstance(error, SecondPersonNeeded)
    assert sorted(boss.get_subject(who).open_proposals, key=int) == [first, second, error.proposal_id]
    replaced = boss.confirm_proposal(second)
    assert len(replaced.subject.templates) == 2
    assert [each.proposal_id for each in boss.list_proposals(watchlist=two) if each.stale] == [first, error.proposal_id]
    with pytest.raises(RevisionConflict):
        boss.confirm_proposal(first)
    for each in (first, error.proposal_id):
        clerk.withdraw_proposal(each)
    third = proposed(lambda: boss.update_watchlist(two, two_person_removal=False, threshold=0.9))
    assert list(boss.get_proposal(third).update_watchlist.update_mask.paths) == ["threshold", "two_person_removal"]
    with pytest.raises(RoleDenied):
        clerk.confirm_proposal(third)
    boss.withdraw_proposal(third)
    with pytest.raises(ProposalNotFound):
        boss.get_proposal(third)


def test_two_tokens_of_one_name_are_one_person(
    guarded: GuardedServer, shared_pki: Pki, boss: WatchlistClient, two: str
) -> None:
    """One may have been given in the place of the other."""
    offices = []
    for name in ("siti", "siti", "budi"):
        token = new_token(guarded.data, "admin", "--name", name)["token"]
        offices.append(WatchlistClient(guarded.tokens, credentials=shared_pki.credentials(), token=token, timeout=30))
    siti, again, budi = offices
    who = enrolled(boss, two)
    number = proposed(lambda: siti.delete_subject(who))
    with pytest.raises(SamePerson):
        again.confirm_proposal(number)
    assert budi.confirm_proposal(number).revision
    for each in offices:
        each.close()


# --- at the command line ----------------------------------------------------------------------------------------------


def gerbang(server: GuardedServer, pki: Pki, name: str, *arguments: str) -> Result:
    ways = {"--ca": pki.folder / "ca.pem", "--client-certificate": pki.folder / f"{name}.pem"}
    ways["--client-key"] = pki.folder / f"{name}.key"
    options = [text for option, path in ways.items() for text in (option, str(path))]
    return CliRunner().invoke(root, [*arguments, "--server", server.address, *options], prog_name="gerbang")


def test_the_commands_say_that_it_is_not_done_and_how_it_is(
    guarded: GuardedServer, shared_pki: Pki, boss: WatchlistClient, two: str
) -> None:
    who = enrolled(boss, two)
    asked = gerbang(guarded, shared_pki, "enrolment", "subject", "delete", who, "--yes", "--note", "died")
    assert asked.exit_code == ExitCode.PROPOSED
    (number,) = boss.get_subject(who).open_proposals
    assert f"not done: proposed, {number}; another person confirms it" in asked.output
    assert f"gerbang proposal confirm {number}" in asked.output.replace("\n", " ")
    assert number in gerbang(guarded, shared_pki, "admin", "subject", "show", who).output
    shown = gerbang(guarded, shared_pki, "admin", "proposal", "show", number)
    for text in ("delete subject", who, two, "enrolment", "died", "somebody is taken off"):
        assert text in shown.output, shown.output
    listed = gerbang(guarded, shared_pki, "admin", "proposal", "list", "--watchlist", two, "--json")
    assert [each["proposal_id"] for each in json.loads(listed.stdout)["proposals"]] == [number]
    assert gerbang(guarded, shared_pki, "enrolment", "proposal", "confirm", number).exit_code == ExitCode.ERROR
    done = gerbang(guarded, shared_pki, "admin", "proposal", "confirm", number)
    assert (done.exit_code, done.stdout.strip()) == (ExitCode.YES, f"done: delete subject {who}, taken off {two}")
    gone = gerbang(guarded, shared_pki, "admin", "proposal", "withdraw", number)
    assert gone.exit_code == ExitCode.ERROR
    assert "PROPOSAL_NOT_FOUND" in gone.output


def test_a_date_is_a_day_of_the_servers_zone(
    guarded: GuardedServer, shared_pki: Pki, boss: WatchlistClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless an option or the environment says another; the moment that is meant is printed back."""
    monkeypatch.setenv("TZ", "UTC")
    assert boss.server_info().time_zone == "Asia/Jakarta"
    who = enrolled(boss)
    command = ("subject", "update", who, "--expires", "2090-01-31", "--yes")
    done = gerbang(guarded, shared_pki, "enrolment", *command)
    assert done.exit_code == ExitCode.YES, done.output
    assert "the end of that day in Asia/Jakarta, 2090-02-01T00:00:00+07:00" in done.output.replace("\n", " ")
    assert boss.get_subject(who).expire_time.ToJsonString() == "2090-01-31T17:00:00Z"
    other = gerbang(guarded, shared_pki, "enrolment", *command, "--time-zone", "Asia/Tokyo")
    assert "2090-02-01T00:00:00+09:00" in other.output
    lost = CliRunner().invoke(
        root, [*command, "--server", "127.0.0.1:1", "--timeout", "2"], prog_name="gerbang", standalone_mode=False
    )
    assert "which zone dates are of can't be asked" in str(lost.exception)
