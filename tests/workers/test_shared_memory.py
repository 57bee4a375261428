"""Workers share the gallery's memory, and none of them shares what has to be its own."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np

from audit.logs import wait_for
from gerbang.v1.matching_service_pb2 import IdentifyRequest
from gerbang.v1.sample_pb2 import Sample, Template
from gerbang.v1.watchlist_service_pb2 import DeleteSubjectRequest
from gerbang_service.changing.watchlists import create_watchlist
from gerbang_service.domain.subjects import NewTemplate, Subject
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.running.newborn import REQUEST, fork_worker
from gerbang_service.store.port import Operation, Outcome, Transaction
from gerbang_service.store.sqlite.store import SqliteStore
from running import RunningServer
from workers.connections import TIMEOUT_S, Connection, nursery_of, to_each_worker, workers_of
from workers.mappings import vectors_of

DIMENSION, PEOPLE = 512, 4000
OPTIONS = ("--pack", "none", "--threshold", "0.6", "--workers", "2", "--no-encryption")


def stored(data: Path) -> np.ndarray:
    """Make a data folder of people `s0`, `s1`, ... with a random template each; returns these."""
    drawn = np.random.default_rng(5).standard_normal((PEOPLE, DIMENSION)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)

    def enrol(transaction: Transaction) -> Outcome[None]:
        for number, vector in enumerate(drawn):
            transaction.put_subject(Subject(f"s{number}", ("w",), create_time_ns=1, update_time_ns=1))
            transaction.add_templates(f"s{number}", [NewTemplate(vector, None)], "unspecified", 1)
            transaction.next_revision()
        return Outcome(None)

    store = SqliteStore(data)
    store.bind_model("unspecified", DIMENSION, ignore_others=False)
    operations: list[Operation[Any]] = [create_watchlist(Watchlist("w")), enrol]
    assert not any(isinstance(each, Exception) for each in store.write(operations))
    store.close()
    return drawn


def finds(asked: Connection, probe: np.ndarray) -> list[str]:
    """Return the ids of whom a worker finds."""
    request = IdentifyRequest(probe=Sample(template=Template(vector=probe.tobytes())))
    return [each.subject_id for each in asked.matching.Identify(request, timeout=TIMEOUT_S).candidates]


def family(running: RunningServer) -> list[int]:
    """Return all processes of a server that have a gallery."""
    nursery = nursery_of(running.pid)
    assert nursery is not None
    return [nursery, *workers_of(running.pid)]


def test_the_gallery_is_in_memory_once(tmp_path: Path) -> None:
    """Of the vectors that were there at the start there is one copy, also after they were searched and changed."""
    drawn = stored(tmp_path / "data")
    with RunningServer(tmp_path / "data", *OPTIONS) as running:
        both = to_each_worker(running.address)
        for each in both:
            for number in range(0, PEOPLE, 100):
                assert finds(each, drawn[number]) == [f"s{number}"]
        both[0].office.DeleteSubject(DeleteSubjectRequest(subject_id="s7"))
        copies = sum(vectors_of(pid, DIMENSION).pss for pid in family(running)) / drawn.nbytes
        assert 1 <= copies < 1.5
        assert running.stop() == 0


def test_what_is_deleted_is_in_no_process_s_memory(tmp_path: Path) -> None:
    """Each has a copy of the page of its own then, and in none is the face of who was deleted."""
    drawn = stored(tmp_path / "data")
    gone, stays = drawn[17].tobytes(), drawn[18].tobytes()
    with RunningServer(tmp_path / "data", *OPTIONS) as running:
        places = [vectors_of(pid, DIMENSION) for pid in family(running)]
        assert all(each.hold(gone, PEOPLE) for each in places)
        one, _ = to_each_worker(running.address)
        one.office.DeleteSubject(DeleteSubjectRequest(subject_id="s17"))
        wait_for(lambda: not any(each.hold(gone, PEOPLE) for each in places))
        assert all(each.hold(stays, PEOPLE) for each in places)
        assert running.stop() == 0


def test_nobody_is_forked_beside_another_thread() -> None:
    """What that holds would be held for ever: who asked is told, and there is no new process."""
    asks, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    try:
        with asks, control, socket.socket() as stream:
            socket.send_fds(asks, [REQUEST], [stream.fileno()])
            assert not fork_worker(control)
            assert b"it can't be forked: the nursery has " in asks.recv(1024)
    finally:
        done.set()
        other.join()
