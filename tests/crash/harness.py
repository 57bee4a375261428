"""Kill a server under load, hundreds of times, and check each time that it kept its promises: `make crashes`.

Invariants 1 to 3: what was acknowledged is there and found, nothing is there by half, what was deleted is gone, the
revision never goes back and is never that of two changes, a repeat of a request that was not answered leads to one
subject, the audit log has it all, and no call fails as long as nothing is killed.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from crash.auditing import Auditor
from crash.failures import check_failure
from crash.load import LISTS, TIMEOUT_S, Load
from crash.model import Person, Truth, Wrong
from crash.processes import children, kill, kill_family
from crash.searching import check_found, search
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
# Of templates that are gone, as many are looked for.
_LOOKED_FOR = 60
# After one life in so many the audit log is read, which grows.
_AUDITED = 10


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
        auditor = Auditor(self.data)
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
            if self._chance.randrange(_AUDITED) == 0:
                self._audit(auditor)
        running = self._start()
        self._kill_all(running)
        self._audit(auditor)

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
        kill_family(process)
        self.counts["kills"] += 1
        self.counts["kills at start"] += 1

    def _live_and_die(self, running: RunningServer) -> None:
        load = Load(running.address, self.truth, self._chance.randrange(2**32))
        load.start()
        time.sleep(self._chance.uniform(0.02, _LONGEST_S))
        load.expect_kill()
        one_process = self.workers > 1 and self._chance.random() < 0.5
        if one_process:
            kill(self._chance.choice(children(running.pid)))
            self.counts["kills of one process"] += 1
            time.sleep(0.2)
        else:
            self._kill_all(running)
        self.counts["kills"] += 1
        load.stop()
        self._unanswered |= load.unanswered
        self.counts["answers"] += load.answers
        self.counts["looks"] += load.looks
        if one_process:
            # Whoever is left serves on, and has to agree.
            self._check(running.address)

    def _audit(self, auditor: Auditor) -> None:
        auditor.check(self.truth)
        self.counts["audits"] += 1

    def _kill_all(self, running: RunningServer) -> None:
        kill_family(running.process)
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
        request = office_pb.UpdateWatchlistRequest(
            watchlist=Watchlist(watchlist_id=name, title=name), update_mask=FieldMask(paths=["title"])
        )
        end = time.monotonic() + TIMEOUT_S
        while True:
            self.truth.attempt(name, name)
            try:
                revision = wire.watchlists.UpdateWatchlist(request, timeout=TIMEOUT_S, wait_for_ready=True).revision
            except grpc.RpcError as error:
                self.truth.refuse(name)
                check_failure(error, killed=True)  # a worker may have been, a moment ago
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
        sought: list[tuple[pb.IdentifyRequest, dict[str, Person]]] = [
            (search(self._chance.choice(samples_of(person.seed)), revision), {name: person})
            for name, person in self.truth.people.items()
        ]
        sought += [(search(samples_of(seed)[0], revision), {}) for seed in self.truth.gone[-_LOOKED_FOR:]]
        for begin in range(0, len(sought), _BATCH):
            batch = sought[begin : begin + _BATCH]
            requests = pb.IdentifyBatchRequest(requests=[request for request, _ in batch])
            answers = wire.matching.IdentifyBatch(requests, timeout=TIMEOUT_S).responses
            for answer, (request, expected) in zip(answers, batch, strict=True):
                check_found(answer, request, expected)
        self.counts["searches"] += len(sought)

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
                self.truth.acknowledge(name, answer.revision, replayed=answer.replayed)
        self._unanswered.clear()
        self._check(address)


def _person(request: EnrollRequest) -> Person:
    seed, _, version = request.subject.labels["state"].partition("/")
    return Person(int(seed), 3, tuple(request.subject.watchlists), version)


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
