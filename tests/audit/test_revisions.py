"""Which changes have a record: what is read back at a start, and what counts."""

from __future__ import annotations

import json
import os
import queue
import signal
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest

from audit.logs import KEY, entries, open_log, wait_for, write
from audit.test_logs_of_workers import worker_processes
from crash.templates import TEMPLATES, samples_of
from gerbang import WatchlistClient
from gerbang_service.audit.files import log_files
from gerbang_service.audit.history import history
from gerbang_service.audit.log import AuditLog
from gerbang_service.audit.serving import compare, open_worker_log
from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import StartupError
from gerbang_service.store.sealing.cipher import NO_CIPHER
from running import RunningServer


def record(audit: AuditLog, *revisions: int) -> None:
    """Record changes, all at once."""
    written = [audit.write(b'{"rpc":"Enroll","committed":%d}' % each, each) for each in revisions]
    assert not wait(written, 10).not_done


def begins(folder: Path) -> list[tuple[Path, Any]]:
    """Return the files of a log, and what each says of the revisions before it."""
    return [(file, json.loads(file.read_bytes().splitlines()[0])["revision"]) for file in log_files(folder)]


def unreadable(file: Path) -> None:
    """Have whoever reads a file fail."""
    file.unlink()
    file.mkdir()


def test_who_waits_for_records_is_told_where_it_waits(tmp_path: Path) -> None:
    """By one function for all that one sync made durable, and not before it did."""
    tellings: queue.Queue[Callable[[], object]] = queue.Queue()
    with open_log(tmp_path, tell=tellings.put) as audit:
        durable = audit.write(b'{"rpc":"Enroll"}', 1)
        telling = tellings.get(timeout=10)
        assert entries(tmp_path)[-1]["rpc"] == "Enroll"
        assert not durable.done()
        telling()
        assert durable.done()


def test_a_file_says_of_which_revisions_records_may_be_before_it(tmp_path: Path) -> None:
    """Of none higher than it names, however many were written at once, in any order."""
    with open_log(tmp_path, file_bytes=400) as audit:
        audit.checked(0)
        for batch in ((2, 1), (6, 3, 5, 4), (8, 7), (9,)):
            record(audit, *batch)
    highest = 0
    files = begins(tmp_path)
    for file, says in files:
        assert (says or 0) == highest
        committed = [json.loads(line).get("committed", 0) for line in file.read_bytes().splitlines()]
        highest = max(highest, *committed)
    assert len(files) > 3


def test_a_worker_s_first_file_tells_the_revision_as_well(tmp_path: Path) -> None:
    """So that a restart need not read all of it back."""
    settings = Settings(data=tmp_path, pack="none", workers=2, audit_folder=tmp_path / "audit" / "worker-0")
    audit = open_worker_log(settings, NO_CIPHER, 7)
    assert audit is not None
    audit.stop()
    assert [says for _, says in begins(tmp_path / "audit" / "worker-0")] == [7]


def test_older_files_are_not_read_back(tmp_path: Path) -> None:
    """Of files that begin with what is known to be recorded, and those before, the first is the last that is read."""
    write(tmp_path, 12, file_bytes=600)
    files = begins(tmp_path)
    (file, says) = files[-2]
    unreadable(files[-3][0])
    found = history(tmp_path, says)
    assert found.highest == 12
    assert found.missing(says, 14) == [(13, 14)]
    unreadable(file)
    with pytest.raises(OSError, match="directory"):
        history(tmp_path, says)


def test_changes_whose_records_were_archived_are_not_missing(tmp_path: Path) -> None:
    """Files that were moved away have records up to where the first that is left begins."""
    write(tmp_path, 12, file_bytes=600)
    files = begins(tmp_path)
    for file, _ in files[:3]:
        file.unlink()
    assert history(tmp_path, 0).missing(0, 12) == []
    assert history(tmp_path, 0).missing(0, 13) == [(13, 13)]


def test_what_was_recorded_before_a_restore_does_not_count(tmp_path: Path) -> None:
    """Revisions are given again after it: a change without a record is found, in logs of workers as well."""
    own, worker = tmp_path / "audit", tmp_path / "audit" / "worker-0"
    settings = Settings(data=tmp_path, pack="none", audit_folder=own, accept_older_database=True)
    with open_log(own, alone=False) as audit:
        audit.checked(0)
        record(audit, 1, 3, 5, 7)
    with open_log(worker, alone=False, revision=0) as audit:
        record(audit, 2, 4, 6, 8)
    with open_log(own) as audit:
        compare(audit, settings, NO_CIPHER, 4)
    with open_log(worker, alone=False, revision=4) as audit:
        record(audit, 5)
    with open_log(own) as audit:
        compare(audit, settings, NO_CIPHER, 7)
    told = [each for each in entries(own) if each.get("event") in ("store_behind", "without_record")]
    assert [(each["event"], each.get("recorded", each.get("revisions"))) for each in told] == [
        ("store_behind", 8),
        ("without_record", [[6, 7]]),
    ]
    assert history(own, None).highest == 5


def test_an_older_database_is_refused_whatever_the_head_says(tmp_path: Path) -> None:
    """The head file is a second behind: what the newest files have counts, and nothing changes by refusing."""
    settings = Settings(data=tmp_path, pack="none", audit_folder=tmp_path / "audit")
    write(tmp_path / "audit", 2)
    head = (tmp_path / "audit" / "head").read_bytes()
    write_more = {"rpc": "Enroll", "committed": 3}
    with open_log(tmp_path / "audit", key=KEY) as audit:
        audit.write(json.dumps(write_more, separators=(",", ":")).encode(), 3).result(10)
    (tmp_path / "audit" / "head").write_bytes(head)
    for _ in range(2):
        with open_log(tmp_path / "audit", key=KEY) as audit:
            with pytest.raises(StartupError, match=r"revision 2.* up to 3: 1 acknowledged"):
                compare(audit, settings, NO_CIPHER, 2)


def test_a_supervisor_that_stops_knows_what_is_recorded(data: Path) -> None:
    """The next start need not look for records of before an orderly stop; but for those of before a worker died."""
    for life, settled in enumerate((3, 3)):
        with RunningServer(data, *TEMPLATES, "--workers", "2") as running, WatchlistClient(running.address) as office:
            for number in range(3):
                office.enroll(f"p-{life}-{number}", samples_of(10 * life + number))
            if life:
                worker, *_ = worker_processes(running)[-2:]
                os.kill(worker, signal.SIGKILL)
                wait_for(lambda running=running: "starting another" in running.stderr, 30)
        assert json.loads((data / "audit" / "head").read_text())["revision"] == settled
