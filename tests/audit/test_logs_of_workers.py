"""Several workers: each has a chain of its own, which its successor goes on with."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

from audit.logs import entries, verify, wait_for
from crash.processes import kill_family
from crash.templates import TEMPLATES, samples_of, template
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1.subject_pb2 import Subject
from gerbang_service.audit.files import chain_folders
from rpc.wire import Wire
from running import RunningServer

WORKERS = ("--workers", "2")


def worker_processes(running: RunningServer) -> list[int]:
    """Return the processes that were workers so far, in order."""
    return [int(each) for each in re.findall(r"worker \d+ is process (\d+)", running.stderr)]


def enrol(address: str, first: int, count: int) -> None:
    """Enrol people, each over a connection of its own, so that both workers have some."""
    for number in range(first, first + count):
        with Wire(address) as wire:
            request = pb.EnrollRequest(subject=Subject(subject_id=f"p-{number}"), samples=samples_of(number))
            wire.matching.Enroll(request, timeout=30, wait_for_ready=True)
            wire.matching.Identify(pb.IdentifyRequest(probe=template(10 * number)), timeout=30)


def test_every_worker_has_a_chain_and_all_changes_are_in_one_of_them(data: Path) -> None:
    """Records are in the log of the worker that answered; a killed worker's successor goes on with its log."""
    with RunningServer(data, *TEMPLATES, *WORKERS) as running:
        enrol(running.address, 0, 12)
        before = worker_processes(running)
        os.kill(before[0], signal.SIGKILL)
        wait_for(lambda: len(worker_processes(running)) == 3, 30)
        wait_for(lambda: sum(each.get("event") == "start" for each in entries(data / "audit" / "worker-0")) == 2, 30)
        enrol(running.address, 12, 12)
        running.stop()
    folders = chain_folders(data / "audit")
    assert [each.name for each in folders] == ["audit", "worker-0", "worker-1"]
    for each in folders:
        verdict = verify(each, None)
        assert verdict.sound, verdict.breaks
    logs = [entries(each) for each in folders]
    assert {each["committed"] for log in logs for each in log if "committed" in each} == set(range(1, 25))
    assert all(any("rpc" in each for each in log) for log in logs[1:])
    assert not any("rpc" in each for each in logs[0])
    assert [each["event"] for each in logs[0]] == ["file", "start", "workers", "stop"]


def test_the_next_start_finds_all_changes_recorded(data: Path) -> None:
    """Killed as a whole and started again, with workers or without, nothing is said to have no record."""
    for life, options in enumerate((WORKERS, WORKERS, ())):
        with RunningServer(data, *TEMPLATES, *options) as running:
            enrol(running.address, 10 * life, 5)
            # In its first second a supervisor may not have noted yet from which revision on it knows.
            wait_for(lambda: json.loads((data / "audit" / "head").read_text())["revision"] is not None)
            kill_family(running.process)
    with RunningServer(data, *TEMPLATES):
        pass
    events = {each.get("event") for folder in chain_folders(data / "audit") for each in entries(folder)}
    assert events <= {None, "file", "start", "stop", "torn_line", "workers"}
