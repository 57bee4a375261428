"""Commands that take somebody off a list say whom and from which, and ask."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import uuid
from collections.abc import Iterator

import numpy as np
import pytest
from click.testing import CliRunner, Result

from gerbang import SubjectNotFound, Template, WatchlistClient
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.root import root
from running import RunningServer


@pytest.fixture
def desk(templates_server: RunningServer) -> Iterator[WatchlistClient]:
    with WatchlistClient(templates_server.address, timeout=30) as client:
        yield client


def fresh(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def listed(desk: WatchlistClient) -> str:
    return desk.create_watchlist(fresh("list")).watchlist.watchlist_id


def enrolled(desk: WatchlistClient, *lists: str) -> str:
    vector = np.random.default_rng(len(lists)).normal(size=16).astype("<f4").tobytes()
    return desk.enroll(fresh("who"), [Template(vector=vector)], watchlists=lists).subject.subject_id


def gerbang(desk: WatchlistClient, *arguments: str) -> Result:
    return CliRunner().invoke(root, [*arguments, "--server", desk.target], prog_name="gerbang")


def test_a_list_is_added_beside_those_there_are(desk: WatchlistClient) -> None:
    """Nobody is asked, since nothing is lost; the answer says what was done."""
    first, second = listed(desk), listed(desk)
    who = enrolled(desk, first)
    done = gerbang(desk, "subject", "update", who, "--add-watchlist", second)
    assert done.exit_code == ExitCode.YES, done.output
    assert f"put on {second}" in done.output
    assert list(desk.get_subject(who).watchlists) == sorted([first, second])


@pytest.mark.parametrize(
    "options",
    [
        ["subject", "update", "WHO", "--remove-watchlist", "FIRST"],
        ["subject", "update", "WHO", "--watchlist", "SECOND"],
        ["subject", "update", "WHO", "--no-watchlists"],
        ["subject", "delete", "WHO"],
        ["watchlist", "delete", "FIRST", "--force"],
    ],
)
def test_who_leaves_a_list_is_said_before(desk: WatchlistClient, options: list[str]) -> None:
    """Where nobody can be asked it is refused without --yes; --dry-run says the same and changes nothing."""
    first, second = listed(desk), listed(desk)
    who = enrolled(desk, first)
    names = {"WHO": who, "FIRST": first, "SECOND": second}
    command = [names.get(each, each) for each in options]
    before = desk.get_subject(who)
    refused = gerbang(desk, *command)
    assert refused.exit_code == ExitCode.USAGE, refused.output
    assert f"{who} would leave {first}" in refused.output
    assert "--yes" in refused.output
    dry = gerbang(desk, *command, "--dry-run", "--json")
    assert dry.exit_code == ExitCode.YES, dry.output
    assert f"{who} would leave {first}" in json.loads(dry.stdout)["losses"]
    assert desk.get_subject(who) == before
    done = gerbang(desk, *command, "--yes")
    assert done.exit_code == ExitCode.YES, done.output
    assert f"{who} would leave {first}" in done.output
    try:
        assert first not in desk.get_subject(who).watchlists
    except SubjectNotFound:
        assert options[:2] == ["subject", "delete"]


def test_who_is_found_for_less_long_is_said_before(desk: WatchlistClient) -> None:
    """An expiry brought forward and the last template too; a later expiry is no loss."""
    who = enrolled(desk, listed(desk))
    assert gerbang(desk, "subject", "update", who, "--expires", "2090-01-01T00:00Z", "--yes").exit_code == ExitCode.YES
    sooner = gerbang(desk, "subject", "update", who, "--expires", "2080-01-01T00:00Z")
    assert sooner.exit_code == ExitCode.USAGE
    assert "until 2080-01-01 00:00:00Z only (now: 2090-01-01 00:00:00Z)" in sooner.output
    assert gerbang(desk, "subject", "update", who, "--expires", "2095-01-01T00:00Z").exit_code == ExitCode.YES
    (template,) = desk.get_subject(who).templates
    last = gerbang(desk, "subject", "delete-template", who, template.template_id)
    assert last.exit_code == ExitCode.USAGE
    assert "the last template" in last.output
    assert len(desk.get_subject(who).templates) == 1


def test_a_change_from_a_stale_view_is_a_conflict(desk: WatchlistClient) -> None:
    """--expected-revision is what 'show' told; the advice says what to do."""
    who = enrolled(desk, listed(desk))
    shown = gerbang(desk, "subject", "show", who, "--json")
    seen = json.loads(shown.stdout)["subject"]["revision"]
    desk.update_subject(who, labels={"a": "b"})
    late = gerbang(desk, "subject", "update", who, "--no-watchlists", "--yes", "--expected-revision", f"{seen}")
    assert late.exit_code == ExitCode.ERROR, late.output
    assert "REVISION_CONFLICT" in late.output
    assert len(desk.get_subject(who).watchlists) == 1


def test_at_a_terminal_it_asks(desk: WatchlistClient) -> None:
    """Whoever says no has changed nothing."""
    name = listed(desk)
    who = enrolled(desk, name)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "gerbang_service.cli", "subject", "delete", who, "--server", desk.target]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True) as asking:
        os.close(theirs)
        said = b""
        while b"Go on?" not in said:
            said += os.read(ours, 4096)
        os.write(ours, b"n\n")
        assert asking.wait(60) == ExitCode.NO
    os.close(ours)
    assert f"{who} would leave {name}".encode() in said
    assert list(desk.get_subject(who).watchlists) == [name]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--threshold", "0.6"], "might stop fewer people: threshold 0.6 (now: 0.5)"),
        (["--no-threshold"], "might stop fewer people: another threshold: the server's (now: 0.5)"),
        (["--action", "silent_alert"], "would have a milder action: silent_alert (now: refer_to_officer)"),
        (["--direction", "arrival"], "would be searched at arrival only (now: both)"),
    ],
)
def test_by_what_a_list_may_stop_fewer_people_is_said_before(
    desk: WatchlistClient, options: list[str], told: str
) -> None:
    """And nothing is changed from another state than the one that was shown."""
    name = listed(desk)
    before = desk.update_watchlist(name, threshold=0.5).watchlist
    refused = gerbang(desk, "watchlist", "update", name, *options)
    assert refused.exit_code == ExitCode.USAGE
    assert told in refused.output.replace("\n", " ")
    dry = gerbang(desk, "watchlist", "update", name, *options, "--dry-run")
    assert dry.exit_code == ExitCode.YES
    assert desk.get_watchlist(name) == before
    done = gerbang(desk, "watchlist", "update", name, *options, "--yes")
    assert done.exit_code == ExitCode.YES, done.output
    assert desk.get_watchlist(name).revision > before.revision


def test_a_lower_target_of_a_list_is_said_before(office: WatchlistClient) -> None:
    """And one in the place of a fixed threshold: whether that stops fewer, nobody can say."""
    name = listed(office)
    office.update_watchlist(name, threshold=0.5)
    for options, told in (
        (["--no-threshold", "--target-fpir", "0.1"], "another threshold: by target 0.1 (now: 0.5)"),
        (["--target-fpir", "0.01"], "target 0.01 (now: 0.1)"),
    ):
        refused = gerbang(office, "watchlist", "update", name, *options)
        assert refused.exit_code == ExitCode.USAGE
        assert told in refused.output.replace("\n", " ")
        assert gerbang(office, "watchlist", "update", name, *options, "--yes").exit_code == ExitCode.YES
    assert office.get_watchlist(name).target_fpir == 0.01


@pytest.mark.parametrize(
    "options", [["--threshold", "0.4"], ["--action", "refuse_entry"], ["--title", "t"], ["--direction", "both"]]
)
def test_what_stops_no_fewer_is_not_asked_about(desk: WatchlistClient, options: list[str]) -> None:
    name = listed(desk)
    desk.update_watchlist(name, threshold=0.5, direction="arrival")
    done = gerbang(desk, "watchlist", "update", name, *options)
    assert done.exit_code == ExitCode.YES, done.output
