"""What the supervisor records of its workers' logs: one that is gone, or another's in its place, is found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from audit.logs import entries
from crash.processes import kill_family
from crash.templates import TEMPLATES
from gerbang_service.audit.files import log_files
from gerbang_service.audit.verdict import CUT, HEAD, MISPLACED
from gerbang_service.cli.exits import ExitCode
from running import RunningServer
from store.people import gerbang

WORKERS = (*TEMPLATES, "--workers", "2")


def verified(folder: Path) -> dict[str, set[str]]:
    """Return the kinds of breaks that `gerbang audit verify` finds, by the name of the log."""
    found = gerbang("audit", "verify", folder, "--json")
    kinds = {
        Path(log["name"]).name: {each["kind"] for each in log["breaks"]} for log in json.loads(found.stdout)["logs"]
    }
    assert found.returncode == (ExitCode.NO if any(kinds.values()) else ExitCode.YES), found.stderr
    return {name: each for name, each in kinds.items() if each}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a server with two workers, which was stopped and started again and stopped."""
    data = tmp_path_factory.mktemp("supervised") / "data"
    for _ in range(2):
        RunningServer(data, *WORKERS).stop()
    return data


@pytest.fixture
def data(served: Path, tmp_path: Path) -> Path:
    """A copy of it that may be spoiled."""
    return Path(shutil.copytree(served, tmp_path / "data"))


def test_the_supervisor_records_where_its_workers_logs_end(data: Path) -> None:
    """At a stop, and at the start after it, the same: sequence and hash of each log's last record, as an auditor's."""
    assert verified(data / "audit") == {}
    log = entries(data / "audit")
    assert [each["event"] for each in log] == [
        "file",
        "start",
        "workers",
        "stop",
        "workers",
        "start",
        "workers",
        "stop",
    ]
    stopped, started, last = [each["heads"] for each in log if each["event"] == "workers"]
    assert stopped == started
    ends = {name: entries(data / "audit" / name)[-1] for name in ("worker-0", "worker-1")}
    assert last == {name: f"{each['sequence']}:{each['hash']}" for name, each in ends.items()}


def test_a_worker_s_log_that_is_gone_is_found(data: Path) -> None:
    """Its folder removed, or emptied; and after the next start, which begins another in its place."""
    log = data / "audit" / "worker-1"
    shutil.rmtree(log)
    assert verified(data / "audit") == {"worker-1": {CUT}}
    RunningServer(data, *WORKERS).stop()
    assert "worker-1" in verified(data / "audit")


def test_another_worker_s_log_in_its_place_is_found(data: Path) -> None:
    """Each file says of which log it is, and the heads are others."""
    audit = data / "audit"
    shutil.rmtree(audit / "worker-1")
    shutil.copytree(audit / "worker-0", audit / "worker-1")
    assert verified(audit) == {"worker-1": {MISPLACED, HEAD}}
    # On its own, without what the supervisor says, too.
    assert verified(audit / "worker-1") == {"worker-1": {MISPLACED}}


def test_the_supervisor_s_own_log_gone_is_found(data: Path) -> None:
    """There are no logs of workers without that of their supervisor."""
    for each in (*log_files(data / "audit"), data / "audit" / "head"):
        each.unlink()
    assert verified(data / "audit") == {"audit": {CUT}}


def test_killed_as_a_whole_nothing_is_said_to_be_missing(data: Path) -> None:
    """What was recorded before a kill is older than the logs; what is recorded at the next start holds as well."""
    running = RunningServer(data, *WORKERS)
    kill_family(running.process)
    running.wait()
    RunningServer(data, *WORKERS).stop()
    assert verified(data / "audit") == {}


def test_files_moved_to_an_archive_are_no_break(tmp_path: Path) -> None:
    """Old files of workers and supervisor elsewhere: the rest verifies with a note, the archive of each on its own."""
    data = tmp_path / "data"
    for _ in range(3):
        RunningServer(data, *WORKERS, "--audit-file-mb", "0.0005").stop()
    for name in ("", "worker-0", "worker-1"):
        archive = tmp_path / "archive" / f"of {name}"
        archive.mkdir(parents=True)
        files = log_files(data / "audit" / name)
        for each in files[: len(files) // 2]:
            each.rename(archive / each.name)
        archived = gerbang("audit", "verify", *log_files(archive), "--data", data)
        assert archived.returncode == ExitCode.YES, archived.stdout
    assert verified(data / "audit") == {}
