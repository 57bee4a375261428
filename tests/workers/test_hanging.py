"""A worker that hangs is noticed, killed and replaced, whatever it holds."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from audit.logs import wait_for
from gerbang import WatchlistClient
from gerbang_service.store.sqlite.connection import WRITE_FILE
from running import RunningServer
from workers.connections import DIMENSION, Connection, to_each_worker, workers_of

OPTIONS = ("--pack", "none", "--dimension", str(DIMENSION), "--threshold", "0.6", "--workers", "2")
# Ten seconds without a sign, and the start of another.
NOTICED_S = 40.0


@dataclass
class Stopped:
    """A server whose supervisor was stopped, with the workers it had then, and the time."""

    server: RunningServer
    workers: list[int]
    at: float


@pytest.fixture(scope="module", autouse=True)
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stopped]:
    """A server whose supervisor is stopped before the first test of this file."""
    with RunningServer(tmp_path_factory.mktemp("stopped") / "data", *OPTIONS) as server:
        workers = workers_of(server.pid)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            yield Stopped(server, workers, time.monotonic())
        finally:
            server.process.send_signal(signal.SIGCONT)


def stopped_with_the_turn(data: Path, pid: int, deadline_s: float = 30.0) -> bool:
    """Stop a process that writes at a moment in which it has the turn to; tell whether that came about."""
    inode = f":{(data / WRITE_FILE).stat().st_ino} "
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        os.kill(pid, signal.SIGSTOP)
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.0005)
        held = [line.split() for line in Path("/proc/locks").read_text().splitlines() if inode in line]
        # Not "->", which waits for it.
        if any(fields[1] == "FLOCK" and fields[4] == str(pid) for fields in held):
            return True
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.003)
    return False


def keep_writing(connection: Connection, ended: threading.Event) -> None:
    """Enrol one after the other, until told to end or the worker is gone."""
    number = 0
    while not ended.is_set():
        number += 1
        try:
            connection.enroll(f"busy-{number}", number)
        except grpc.RpcError:
            return


def test_a_worker_stopped_with_the_turn_to_write_is_replaced_and_others_write_again(data: Path) -> None:
    with RunningServer(data, *OPTIONS) as server:
        with WatchlistClient(server.address, timeout=10) as office:
            office.create_watchlist("w")
        one, other = to_each_worker(server.address)
        workers, ended = workers_of(server.pid), threading.Event()
        writing = threading.Thread(target=keep_writing, args=(one, ended))
        writing.start()
        try:
            if not any(stopped_with_the_turn(data, pid, 10) for pid in workers):
                pytest.skip("this kernel does not tell who holds a lock")
            wait_for(taken(other, "late", 90_002), NOTICED_S)
        finally:
            ended.set()
            writing.join(30)
        wait_for(lambda: len(workers_of(server.pid)) == 2 and set(workers_of(server.pid)) != set(workers), NOTICED_S)
        assert "has not answered for 10 s and is killed" in server.stderr
        assert server.stop() == 0


def taken(connection: Connection, name: str, seed: int) -> Callable[[], bool]:
    """Return what tells whether an enrolment is taken now."""

    def attempt() -> bool:
        try:
            connection.enroll(name, seed)
        except grpc.RpcError:
            return False
        return True

    return attempt


def test_workers_live_on_while_their_supervisor_is_stopped(stopped: Stopped) -> None:
    """For longer than what makes a worker count as hanging; the other test was run meanwhile."""
    time.sleep(max(0.0, stopped.at + 12 - time.monotonic()))
    server = stopped.server
    os.kill(server.pid, signal.SIGCONT)
    time.sleep(3)
    assert workers_of(server.pid) == stopped.workers
    assert server.stop() == 0
