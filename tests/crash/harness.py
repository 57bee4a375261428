"""Kill a server under load, hundreds of times, and check each time that it kept its promises: `make crashes`.

Invariants 1 to 3: what was acknowledged is there and found, nothing is there by half, what was deleted is gone, the
revision never goes back, and a repeat of a request that was not answered leads to one subject.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc

from crash.load import LISTS, TIMEOUT_S, Load
from crash.model import Person, Truth, Wrong
from crash.templates import TEMPLATES, samples_of
from gerbang import EnrollRequest
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist
from rpc.wire import Wire
from running import KEY, RunningServer, StartRefused

# Longest life of a server under load, seconds.
_LONGEST_S = 0.8
# One life in so many ends while the server starts.
_KILLED_AT_START = 8
# Few enough for a busy machine to search at once.
_BATCH = 16
# Of the dead, as many are looked for.
_LOOKED_FOR = 40


@dataclass
class Harness:
    """Servers on one data folder, one after the other. `seed` decides when each is killed and what clients do."""

    data: Path
    seed: int
    workers: int = 1
    truth: Truth = field(default_factory=Truth)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._unanswered: dict[str, EnrollRequest] = {}

    def run(self, kills: int) -> None:
        """Kill it so many times. Raises Wrong, StartRefused, or what a client got that it should not have."""
        self._prepare()
        while self.counts["kills"] < kills:
            if self._chance.randrange(_KILLED_AT_START) == 0:
                self._kill_at_start()
            running = self._start()
            try:
                if self.counts["kills"] and self._unanswered:
                    self._repeat(running.address)
                self._live_and_die(running)
            finally:
                self._kill_all(running)
        running = self._start()
        self._kill_all(running)

    def _prepare(self) -> None:
        with RunningServer(self.data, *self._options()) as running, Wire(running.address) as wire:
            for name in LISTS:
                self.truth.attempt(name, name)
                request = office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id=name, title=name))
                self.truth.acknowledge(name, wire.watchlists.CreateWatchlist(request, timeout=TIMEOUT_S).revision)

    def _options(self) -> tuple[str, ...]:
        return (*TEMPLATES, "--workers", str(self.workers))

    def _start(self) -> RunningServer:
        running = RunningServer(self.data, *self._options())
        try:
            self._check(running.address)
        except BaseException:
            self._kill_all(running)
            raise
        return running

    def _kill_at_start(self) -> None:
        arguments = ["serve", "--listen", "127.0.0.1:0", "--data", str(self.data), *self._options()]
        process = subprocess.Popen(
            [sys.executable, "-m", "gerbang_service.cli", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "GERBANG_KEY": KEY},
        )
        time.sleep(self._chance.uniform(0.1, 1.5))
        _kill_family(process)
        self.counts["kills"] += 1
        self.counts["kills at start"] += 1

    def _live_and_die(self, running: RunningServer) -> None:
        load = Load(running.address, self.truth, self._chance.randrange(2**32))
        load.start()
        time.sleep(self._chance.uniform(0.02, _LONGEST_S))
        one_worker = self.workers > 1 and self._chance.random() < 0.5
        if one_worker:
            _kill(self._chance.choice(_children(running.pid)))
            self.counts["kills of one worker"] += 1
            time.sleep(0.2)
        else:
            self._kill_all(running)
        self.counts["kills"] += 1
        load.stop()
        self._unanswered |= load.unanswered
        self.counts["answers"] += load.answers
        if one_worker:
            # The other one serves on, and has to agree.
            self._check(running.address)

    def _kill_all(self, running: RunningServer) -> None:
        _kill_family(running.process)
        running.wait()

    def _check(self, address: str) -> None:
        with Wire(address) as wire:
            self._barrier(wire)
            info = wire.watchlists.GetServerInfo(office_pb.GetServerInfoRequest(), timeout=TIMEOUT_S)
            subjects: list[Subject] = []
            token = ""
            while True:
                request = office_pb.ListSubjectsRequest(page_size=1000, page_token=token)
                page = wire.watchlists.ListSubjects(request, timeout=TIMEOUT_S, wait_for_ready=True)
                subjects.extend(page.subjects)
                token = page.next_page_token
                if not token:
                    break
            lists = wire.watchlists.ListWatchlists(office_pb.ListWatchlistsRequest(), timeout=TIMEOUT_S).watchlists
            self.truth.compare(subjects, lists, info.revision)
            self._search(wire, info.revision)
        self.counts["checks"] += 1

    def _barrier(self, wire: Wire) -> None:
        """Write something: whichever worker has this connection, it then knows all that was written before."""
        name = LISTS[0]
        request = office_pb.UpdateWatchlistRequest(watchlist=Watchlist(watchlist_id=name, title=name))
        end = time.monotonic() + TIMEOUT_S
        while True:
            self.truth.attempt(name, name)
            try:
                revision = wire.watchlists.UpdateWatchlist(request, timeout=TIMEOUT_S, wait_for_ready=True).revision
            except grpc.RpcError:  # a worker may have been killed a moment ago
                self.truth.refuse(name)
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
            else:
                break
        if revision <= self.truth.revision:
            raise Wrong(f"a change made revision {revision}, and {self.truth.revision} was answered before")
        self.truth.acknowledge(name, revision)

    def _search(self, wire: Wire, revision: int) -> None:
        """Look for everybody who is there by one of their templates, and for some of those who are gone."""
        expected: list[list[str]] = []
        probes = []
        for name, person in self.truth.people.items():
            probes.append(self._chance.choice(samples_of(person.seed)))
            expected.append([name])
        for seed in list(self.truth.gone.values())[-_LOOKED_FOR:]:
            probes.append(samples_of(seed)[0])
            expected.append([])
        for begin in range(0, len(probes), _BATCH):
            requests = [
                pb.IdentifyRequest(probe=each, threshold=0.999, min_revision=revision)
                for each in probes[begin : begin + _BATCH]
            ]
            answers = wire.matching.IdentifyBatch(pb.IdentifyBatchRequest(requests=requests), timeout=TIMEOUT_S)
            for answer, names in zip(answers.responses, expected[begin : begin + _BATCH], strict=True):
                found = [each.subject_id for each in answer.candidates]
                if answer.HasField("error") or found != names:
                    raise Wrong(f"{found} was found where {names} should be: {answer.error.message}")
        self.counts["searches"] += len(probes)

    def _repeat(self, address: str) -> None:
        """Send again what was not answered: whether it had been done or not, it is done once then."""
        with Wire(address) as wire:
            for name, request in self._unanswered.items():
                (before,) = self.truth.allowed[name]
                try:
                    answer = wire.matching.Enroll(request, timeout=TIMEOUT_S)
                except grpc.RpcError as error:
                    # Of a subject that was there already, and was deleted by the repeated request's own client since.
                    raise Wrong(f"the repeat for {name}, which was {before}, failed: {error.details()}") from error
                self.counts["repeats that had been done" if answer.replayed else "repeats that had not"] += 1
                self.truth.attempt(name, _person(request))
                self.truth.acknowledge(name, answer.revision if not answer.replayed else 0)
        self._unanswered.clear()
        self._check(address)


def _person(request: EnrollRequest) -> Person:
    seed, _, version = request.subject.labels["state"].partition("/")
    return Person(int(seed), 3, tuple(request.subject.watchlists), version)


def _children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _kill_family(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Kill a server with its workers, and wait for their end."""
    if process.poll() is None:
        process.send_signal(signal.SIGSTOP)  # it must not start another meanwhile
    children = _children(process.pid)
    for pid in (*children, process.pid):
        _kill(pid)
    process.wait()
    for pid in children:
        while _alive(pid):
            time.sleep(0.005)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def main() -> int:
    """Run from the command line; prints what was done, and returns 0 when no promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="crashes-") as folder:
        harness = Harness(Path(folder, "data"), arguments.seed, arguments.workers)
        print(f"seed {arguments.seed}, {arguments.workers} worker(s)", flush=True)
        started = time.monotonic()
        broken: Exception | None = None
        try:
            harness.run(arguments.kills)
        except (Wrong, StartRefused, grpc.RpcError) as error:
            broken = error
        seconds = time.monotonic() - started
        print(
            f"{dict(harness.counts)}; {harness.truth.acknowledged} changes acknowledged, {harness.truth.unanswered} "
            f"unanswered when killed; {len(harness.truth.people)} people at the end; {seconds:.0f} s"
        )
        print(f"BROKEN: {broken}" if broken else "nothing lost, nothing by half, no refusal to start")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
