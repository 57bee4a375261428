"""`gerbang audit verify`, `head` and `show`, as an auditor runs them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from audit.logs import entries, wait_for
from crash.templates import TEMPLATES, samples_of, template
from forked import run_gerbang
from gerbang import GateClient, GerbangError, WatchlistClient
from gerbang_service.cli.exits import ExitCode
from running import KEY, RunningServer
from store.people import environment


def gerbang(*arguments: object, key: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `gerbang audit`; with the key of the test servers in the environment, or without any."""
    return run_gerbang("audit", *map(str, arguments), env=environment(KEY if key else None))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a server that has been called, and is stopped."""
    folder = tmp_path_factory.mktemp("commands") / "data"
    with RunningServer(folder, *TEMPLATES) as running:
        with WatchlistClient(running.address) as office, GateClient(running.address) as gate:
            office.create_watchlist("cegah", direction="both", action="refuse_entry")
            for number in (1, 2):
                office.enroll(f"p-{number}", samples_of(number), watchlists=["cegah"])
            assert gate.identify(template(10)).hit
            assert not gate.identify(template(77)).hit
            office.create_watchlist("quiet", action="silent_alert")
            office.enroll("p-3", samples_of(3), watchlists=["quiet"])
            assert not gate.identify(template(30)).hit
            with pytest.raises(GerbangError):
                office.get_subject("p-9")
    return folder


def shown(data: Path, *options: str) -> list[str]:
    """Return what `show` finds: the rpc or event of each record."""
    found = gerbang("show", "--data", data, "--json", *options)
    assert found.returncode in (ExitCode.YES, ExitCode.NO), found.stderr
    records = [json.loads(line) for line in found.stdout.splitlines()]
    assert bool(records) == (found.returncode == ExitCode.YES)
    return [each.get("rpc", each.get("event")) for each in records]


def test_show_filters(data: Path) -> None:
    """Each filter leaves what it says; several leave what they all do."""
    everything = shown(data)
    silent = ["CreateWatchlist", "Enroll", "Identify"]
    calls = ["CreateWatchlist", "Enroll", "Enroll", "Identify", "Identify", *silent, "GetSubject"]
    assert everything == ["file", "start", *calls, "stop"]
    assert shown(data, "--hits") == ["Identify", "Identify"]
    assert shown(data, "--hits", "--watchlist", "quiet") == ["Identify"]
    assert shown(data, "--failures") == ["GetSubject"]
    assert shown(data, "--subject", "p-1") == ["Enroll", "Identify"]
    assert shown(data, "--subject", "p-1", "--rpc", "Enroll") == ["Enroll"]
    assert shown(data, "--watchlist", "cegah") == ["CreateWatchlist", "Enroll", "Enroll", "Identify"]
    assert shown(data, "--identity", "local", "--role", "admin") == calls
    assert shown(data, "--role", "gate") == []
    records = entries(data / "audit")
    assert shown(data, "--since", records[4]["time"], "--until", records[6]["time"]) == ["Enroll", "Identify"]
    assert shown(data, "--request-id", records[2]["request_id"]) == ["CreateWatchlist"]


def test_show_tells_people_who_was_found(data: Path) -> None:
    """A line for people names who asked, what, and who was found how similar."""
    line, silent = gerbang("show", "--data", data, "--hits").stdout.splitlines()
    for part in ("local (admin)", "Identify", "p-1", "similarity 1.0000", "refuse_entry"):
        assert part in line
    assert "silent_hit" in silent


def test_verify_with_the_key_and_without(data: Path) -> None:
    """A sound log is 0, with its head to be noted; without the key it says what it could not see."""
    found = gerbang("verify", "--data", data)
    assert found.returncode == ExitCode.YES, found.stdout + found.stderr
    assert "note:" not in found.stdout
    head = gerbang("head", "--data", data).stdout.split()[0]
    assert f"head {head}" in found.stdout
    assert gerbang("verify", data / "audit", "--head", head).returncode == ExitCode.YES
    blind = gerbang("verify", "--data", data, key=False)
    assert blind.returncode == ExitCode.YES
    assert "without the key" in blind.stdout
    assert gerbang("verify", "--data", data, "--head", "99:" + 64 * "0").returncode == ExitCode.NO
    assert gerbang("verify", "--data", data, "--head", "nonsense").returncode == ExitCode.USAGE


def test_verify_names_file_and_line(data: Path, tmp_path: Path) -> None:
    """A changed line is 1, and its file, line and kind are said; as JSON too."""
    file = data / "audit" / "000001.jsonl"
    copy = tmp_path / file.name
    copy.write_bytes(file.read_bytes().replace(b'"p-2"', b'"p-3"', 1))
    found = gerbang("verify", copy, "--data", data)
    assert found.returncode == ExitCode.NO
    assert f"BROKEN (changed) {copy}:5:" in found.stdout
    document = json.loads(gerbang("verify", copy, "--data", data, "--json").stdout)
    first = document["logs"][0]["breaks"][0]
    assert (document["sound"], first["line"], first["kind"]) == (False, 5, "changed")


def test_a_data_folder_is_not_taken_for_a_broken_log(data: Path) -> None:
    """It has no records and no head: that is a slip at the command line, and no cut log."""
    found = gerbang("verify", data)
    assert found.returncode == ExitCode.USAGE, found.stdout
    assert f"say --data {data}" in found.stderr


def test_no_log_is_an_error(tmp_path: Path) -> None:
    """Where there is no log, that is said, and nothing is called sound."""
    (tmp_path / "audit").mkdir()
    for command in ("verify", "show", "head"):
        found = gerbang(command, "--data", tmp_path)
        assert found.returncode == ExitCode.ERROR, found.stdout
        assert "there is no audit log" in found.stderr


def test_follow_shows_what_comes(tmp_path: Path) -> None:
    """With --follow records are shown as they are written, over the beginning of new files, beside the server."""
    data = tmp_path / "data"
    options = ("--audit-file-mb", "0.002")
    with RunningServer(data, *TEMPLATES, *options) as running, WatchlistClient(running.address) as office:
        show = [
            sys.executable,
            "-m",
            "gerbang_service.cli",
            "audit",
            "show",
            "--follow",
            "--json",
            "--rpc",
            "Enroll",
        ]
        output = tmp_path / "output"
        with output.open("w") as stdout:
            following = subprocess.Popen([*show, "--data", str(data)], stdout=stdout)
        try:
            for number in range(10):
                office.enroll(f"p-{number}", samples_of(number))
                time.sleep(0.05)
            wait_for(lambda: len(output.read_text().splitlines()) == 10, 20)
        finally:
            following.terminate()
            following.wait(10)
        assert gerbang("verify", "--data", data).returncode == ExitCode.YES
    assert len(list((data / "audit").glob("*.jsonl"))) > 2
    shown_ids = [json.loads(line)["answered"]["subject_id"] for line in output.read_text().splitlines()]
    assert shown_ids == [f"p-{number}" for number in range(10)]
