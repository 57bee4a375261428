"""Connections that reach different workers of one server."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from gerbang.v1.matching_service_pb2 import EnrollRequest, EnrollResponse, IdentifyRequest, IdentifyResponse
from gerbang.v1.matching_service_pb2_grpc import MatchingServiceStub
from gerbang.v1.sample_pb2 import Sample, Template
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_service_pb2 import GetServerInfoRequest
from gerbang.v1.watchlist_service_pb2_grpc import WatchlistServiceStub

DIMENSION = 32
OPTIONS = ("--pack", "none", "--dimension", str(DIMENSION), "--threshold", "0.6", "--workers", "2")
TIMEOUT_S = 10.0


class Connection:
    """A connection of its own, which the kernel gave to one of the workers; `worker` tells which."""

    def __init__(self, address: str) -> None:
        # Else channels to the same address would share one connection.
        self.channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
        self.matching: Any = MatchingServiceStub(self.channel)
        self.office: Any = WatchlistServiceStub(self.channel)
        info = self.office.GetServerInfo(GetServerInfoRequest(), timeout=TIMEOUT_S, wait_for_ready=True)
        self.worker: int = info.start_time.ToNanoseconds()

    def enroll(self, name: str, *seeds: int, **fields: Any) -> EnrollResponse:
        """Enrol a subject with the templates of these seeds on list `w`, unless the fields say otherwise.

        They are of nobody in particular, and may be of one subject.
        """
        watchlists, labels = fields.pop("watchlists", ["w"]), fields.pop("subject_labels", {})
        request = EnrollRequest(
            subject=Subject(subject_id=name, watchlists=watchlists, labels=labels),
            samples=[Sample(template=Template(vector=vector(seed))) for seed in seeds],
            allow_different=True,
            **fields,
        )
        answer: EnrollResponse = self.matching.Enroll(request, timeout=TIMEOUT_S)
        return answer

    def identify(self, seed: int, min_revision: int = 0) -> IdentifyResponse:
        """Search for the template of a seed."""
        probe = Sample(template=Template(vector=vector(seed)))
        answer: IdentifyResponse = self.matching.Identify(
            IdentifyRequest(probe=probe, min_revision=min_revision), timeout=TIMEOUT_S
        )
        return answer

    def finds(self, seed: int, min_revision: int = 0) -> list[str]:
        """Return the ids of whom it finds."""
        return [each.subject_id for each in self.identify(seed, min_revision).candidates]


def to_each_worker(address: str, workers: int = 2) -> list[Connection]:
    """Connect until every worker was reached; returns one connection to each."""
    reached: dict[int, Connection] = {}
    deadline = time.monotonic() + 30
    while len(reached) < workers:
        assert time.monotonic() < deadline, f"{len(reached)} of {workers} workers reached"
        made = Connection(address)
        if made.worker in reached:
            made.channel.close()
        else:
            reached[made.worker] = made
    return list(reached.values())


def vector(seed: int) -> bytes:
    """Return a random template; those of two seeds are not similar."""
    drawn: bytes = np.random.default_rng((seed, 7)).standard_normal(DIMENSION).astype("<f4").tobytes()
    return drawn


def workers_of(pid: int) -> list[int]:
    """Return the process ids of a server's workers; none when it has ended."""
    return _named("gerbang-worker", pid)


def nursery_of(pid: int) -> int | None:
    """Return the process id of the nursery that a server's workers are forked from, if there is one."""
    return next(iter(_named("gerbang-nursery", pid)), None)


def _named(name: str, parent: int) -> list[int]:
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for child in map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()):
            with suppress(FileNotFoundError, ProcessLookupError):
                if Path(f"/proc/{child}/comm").read_text().strip() == name and not _is_dead(child):
                    found.append(child)
    return found


def _is_dead(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
