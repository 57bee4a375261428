"""What may be without codes of the key is what was there before the folder was encrypted, and nothing else."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest

from audit.logs import KEY, entries, lines, open_log, verify, write
from crash.templates import TEMPLATES, samples_of
from gerbang import WatchlistClient
from gerbang_service.audit.chain import NOTHING, Head, Seal, take_apart
from gerbang_service.audit.files import log_files
from gerbang_service.audit.unkeyed import unkeyed_heads
from gerbang_service.audit.verdict import CUT, FOUND, HEAD, UNKEYED, Verdict
from gerbang_service.audit.verifying import verify_folder
from gerbang_service.cli.exits import ExitCode
from running import RunningServer
from store.people import gerbang

WORKERS = ("--workers", "2")


def make_anew(folder: Path, count: int | None = None) -> None:
    """Write a log anew as who lacks the key can: other times, all hashes and the head computed, no codes.

    `count`: of its first lines, and nothing behind them.
    """
    previous = bytes(32)
    made: dict[Path, bytes] = {}
    sequence = 0
    for file, _, line in lines(folder)[:count]:
        taken = take_apart(line[:-1])
        assert taken is not None
        new, previous = Seal(None).close(taken.body.replace(b'"time":"2', b'"time":"1', 1), previous)
        made[file] = made.get(file, b"") + new
        sequence = taken.sequence
    for file in log_files(folder):
        file.write_bytes(made.get(file, b""))
        if file not in made:
            file.unlink()
    head = {"sequence": sequence, "hash": previous.hex(), "revision": None}
    (folder / "head").write_text(json.dumps(head, separators=(",", ":")))


def verified(folder: Path, unkeyed: Mapping[str, Head]) -> Verdict:
    """Verify with the key, and what is known of before encryption."""
    return verify_folder(folder, Seal(KEY), unkeyed=unkeyed)


def enrol(running: RunningServer, *numbers: int) -> None:
    """Enrol people."""
    with WatchlistClient(running.address) as office:
        for number in numbers:
            office.enroll(f"p-{number}", samples_of(number))


def kinds_by_command(data: Path) -> set[str]:
    """Return the kinds of breaks that `gerbang audit verify` finds with the key."""
    found = gerbang("audit", "verify", "--data", data, "--json")
    kinds = {each["kind"] for log in json.loads(found.stdout)["logs"] for each in log["breaks"]}
    assert found.returncode == (ExitCode.NO if kinds else ExitCode.YES), found.stderr
    return kinds


@pytest.mark.parametrize("options", [(), WORKERS], ids=["one process", "workers"])
def test_a_log_made_anew_without_codes_is_found(data: Path, options: tuple[str, ...]) -> None:
    """Without the key nobody can pass a whole log off as of before encryption; no restart makes it good."""
    with RunningServer(data, *TEMPLATES, *options) as running:
        enrol(running, 1, 2)
    assert kinds_by_command(data) == set()
    log = data / "audit"
    make_anew(log)
    assert {UNKEYED, HEAD} <= kinds_by_command(data)
    with RunningServer(data, *TEMPLATES, *options):
        pass
    assert {UNKEYED, FOUND} <= kinds_by_command(data)
    assert not any(each.get("event") == "key_begun" for each in entries(log))


def test_a_log_of_before_encryption_is_sound_and_can_t_be_changed(data: Path) -> None:
    """`gerbang key encrypt`, then a start: the log goes on with a key; what is before is sealed as it was then."""
    for number in (1, 2):
        with RunningServer(data, *TEMPLATES, "--no-encryption") as running:
            enrol(running, number)
    assert gerbang("key", "encrypt", "--data", data).returncode == 0
    with RunningServer(data, *TEMPLATES) as running:
        enrol(running, 3)
    assert kinds_by_command(data) == set()
    with RunningServer(data, *TEMPLATES):
        pass
    log = data / "audit"
    assert kinds_by_command(data) == set()
    assert [each.get("event") for each in entries(log)].count("key_begun") == 1
    make_anew(log)
    assert UNKEYED in kinds_by_command(data)


def test_logs_of_workers_come_to_a_key(data: Path) -> None:
    """Of all workers what is of before is recorded at the first start with the key, of those that run no more too."""
    with RunningServer(data, *TEMPLATES, "--no-encryption", "--workers", "3") as running:
        enrol(running, 1, 2)
    assert gerbang("key", "encrypt", "--data", data).returncode == 0
    with RunningServer(data, *TEMPLATES, *WORKERS) as running:
        enrol(running, 3)
    assert kinds_by_command(data) == set()
    make_anew(data / "audit" / "worker-2")
    assert UNKEYED in kinds_by_command(data)


def test_a_folder_that_never_held_anybody_may_come_to_a_key(data: Path) -> None:
    """Served without encryption, with nobody enrolled, and then with a key: its log is of before, and no break."""
    RunningServer(data, *TEMPLATES, "--no-encryption").stop()
    with RunningServer(data, *TEMPLATES) as running:
        enrol(running, 1)
    assert kinds_by_command(data) == set()


def test_who_deletes_what_was_recorded_of_before_is_found(data: Path) -> None:
    """The record of what may be without a code is covered by the seal of its table."""
    RunningServer(data, *TEMPLATES).stop()
    with sqlite3.connect(data / "gerbang.sqlite3") as connection:
        connection.execute("DELETE FROM meta WHERE key = 'unkeyed_audit'")
    connection.close()
    found = gerbang("audit", "verify", "--data", data)
    assert found.returncode == ExitCode.ERROR
    assert "tampered with" in found.stderr


@pytest.fixture
def of_before(tmp_path: Path) -> tuple[Path, dict[str, Head]]:
    """A log in several files without a key, and what is recorded of it when it comes to one."""
    folder = tmp_path / "audit"
    write(folder, 12, key=None, file_bytes=1_000)
    return folder, unkeyed_heads(folder)


def test_the_end_of_what_is_of_before_is_found_whatever_follows(of_before: tuple[Path, dict[str, Head]]) -> None:
    """It is the end of the last file without a code, the same after the log went on with a key."""
    folder, heads = of_before
    assert heads == {"": Head(entries(folder)[-1]["sequence"], bytes.fromhex(entries(folder)[-1]["hash"]))}
    write(folder, 5, unkeyed=heads[""], file_bytes=1_000)
    assert unkeyed_heads(folder) == heads
    assert verified(folder, heads).sound
    assert verified(folder, {}).breaks[0].kind == UNKEYED


def test_what_is_of_before_can_t_be_cut(of_before: tuple[Path, dict[str, Head]]) -> None:
    """Records taken from its end, with a head that fits, are missed: without a code, or with one of that time."""
    folder, heads = of_before
    assert verified(folder, heads).sound
    make_anew(folder, 4)
    assert {each.kind for each in verified(folder, heads).breaks} == {HEAD}
    (folder / "head").write_bytes(sealed_head(folder))
    assert {each.kind for each in verified(folder, heads).breaks} == {CUT}


def sealed_head(folder: Path) -> bytes:
    """Return a head file that fits the log, with a code of the key."""
    last = entries(folder)[-1]
    body = json.dumps(
        {"sequence": last["sequence"], "hash": last["hash"], "revision": None}, separators=(",", ":")
    ).encode()
    return body[:-1] + b',"mac":"%b"}' % Seal(KEY).head_mac(body).encode()


def test_a_kill_when_a_log_comes_to_a_key_is_no_break(of_before: tuple[Path, dict[str, Head]], tmp_path: Path) -> None:
    """From the first record with a code on, the head file has one too, whenever the server is killed."""
    folder, heads = of_before
    copy = tmp_path / "killed" / "audit"
    with open_log(folder, key=KEY, unkeyed=heads[""]) as audit:
        audit.write(b'{"rpc":"Enroll"}', 1).result(10)
        shutil.copytree(folder, copy)
    write(copy, 1, unkeyed=heads[""])
    verdict = verified(copy, heads)
    assert verdict.sound, verdict.breaks


def test_a_log_without_a_code_that_was_not_there_is_recorded(of_before: tuple[Path, dict[str, Head]]) -> None:
    """The server that finds records without a code that nobody knows of says so in the log, for good."""
    folder, heads = of_before
    for unkeyed in (NOTHING, Head(heads[""].sequence - 1, heads[""].digest)):
        with open_log(folder, key=KEY, unkeyed=unkeyed):
            pass
    assert [each["event"] for each in entries(folder) if each.get("event", "file") != "file"] == ["unkeyed"]
    assert verify(folder).breaks[0].kind == FOUND
