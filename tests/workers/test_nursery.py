"""The nursery, from which workers are forked: what it hands on, that it follows, and that it is replaced."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from audit.logs import wait_for
from gerbang.v1.watchlist_pb2 import Watchlist
from gerbang.v1.watchlist_service_pb2 import CreateWatchlistRequest, DeleteSubjectRequest
from gerbang_service.domain.errors import StartupError
from gerbang_service.running import child
from running import RunningServer
from telemetry.metered import addresses, scrape, value
from workers.connections import OPTIONS, Connection, nursery_of, to_each_worker, workers_of

REPLACED_S = 60.0


@dataclass
class Hanging:
    """A server, its nursery that was stopped, and the workers that it had then."""

    running: RunningServer
    nursery: int
    workers: list[int]


@pytest.fixture
def enrolled(tmp_path: Path) -> Path:
    """A data folder in the clear with somebody enrolled: `first`."""
    data = tmp_path / "data"
    with RunningServer(data, *OPTIONS, "--no-encryption") as running:
        one = Connection(running.address)
        one.office.CreateWatchlist(CreateWatchlistRequest(watchlist=Watchlist(watchlist_id="w")))
        one.enroll("first", 1)
        one.channel.close()
    return data


@pytest.fixture(scope="module", autouse=True)
def hanging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hanging]:
    """A server whose nursery hangs from before the first test of this file on: it takes half a minute to be noticed."""
    with RunningServer(tmp_path_factory.mktemp("hanging") / "data", *OPTIONS, "--no-encryption") as running:
        nursery, workers = nursery_of(running.pid), workers_of(running.pid)
        assert nursery is not None
        os.kill(nursery, signal.SIGSTOP)
        try:
            yield Hanging(running, nursery, workers)
        finally:
            with suppress(ProcessLookupError):  # its test was not run
                os.kill(nursery, signal.SIGCONT)


def replaced(running: RunningServer, victim: int) -> None:
    """Kill a worker, and wait until there is another in its place."""
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: len(workers_of(running.pid)) == 2 and victim not in workers_of(running.pid), REPLACED_S)


def test_the_gallery_is_loaded_once(enrolled: Path) -> None:
    """By the nursery; no worker loads it again."""
    with RunningServer(enrolled, *OPTIONS, "--no-encryption") as running:
        for each in to_each_worker(running.address):
            assert each.finds(1) == ["first"]
        assert running.stderr.count("loaded 1 templates") == 1
        assert running.stop() == 0


def test_a_replacement_knows_what_was_enrolled_since_the_start(enrolled: Path) -> None:
    """The nursery was loaded before: who is forked from it has what came later all the same, and nobody who went."""
    with RunningServer(enrolled, *OPTIONS, "--no-encryption") as running:
        one, _ = to_each_worker(running.address)
        later = one.enroll("later", 2).revision
        one.office.DeleteSubject(DeleteSubjectRequest(subject_id="first"))
        for victim in workers_of(running.pid):
            replaced(running, victim)
        for each in to_each_worker(running.address):
            assert each.identify(2).revision > later
            assert each.finds(2) == ["later"]
            assert each.finds(1) == []
        assert running.stderr.count("loaded 1 templates") == 1  # none of them has loaded anything
        assert running.stop() == 0


def test_a_killed_nursery_is_noticed_and_replaced_and_nobody_else_is_disturbed(enrolled: Path) -> None:
    """Workers serve on; another nursery takes its place, and workers are forked from that."""
    with RunningServer(enrolled, *OPTIONS, "--no-encryption") as running:
        both, workers, nursery = to_each_worker(running.address), workers_of(running.pid), nursery_of(running.pid)
        assert nursery is not None
        os.kill(nursery, signal.SIGKILL)
        for each in both:
            assert each.finds(1) == ["first"]
        wait_for(lambda: nursery_of(running.pid) not in (None, nursery), REPLACED_S)
        assert "nursery ended with status -9" in running.stderr
        assert workers_of(running.pid) == workers
        both[0].enroll("later", 2)
        replaced(running, workers[0])
        for each in to_each_worker(running.address):
            assert each.finds(2) == ["later"]
        assert running.stop() == 0


def test_a_worker_that_dies_while_there_is_no_nursery_is_replaced_when_there_is(enrolled: Path) -> None:
    with RunningServer(enrolled, *OPTIONS, "--no-encryption") as running:
        nursery, victim = nursery_of(running.pid), workers_of(running.pid)[0]
        assert nursery is not None
        os.kill(nursery, signal.SIGKILL)
        replaced(running, victim)
        for each in to_each_worker(running.address):
            assert each.finds(1) == ["first"]
        assert running.stop() == 0


def test_metrics_tell_whether_a_worker_could_be_replaced(enrolled: Path) -> None:
    """Each worker's own say so, while there is a nursery and while there is none."""
    options = (*OPTIONS, "--no-encryption", "--metrics-listen", "127.0.0.1:0")
    with RunningServer(enrolled, *options) as running:
        ports = addresses(running.stderr)
        assert len(ports) == 2

        def told() -> list[float]:
            return [value(scrape(each), "gerbang_nursery_up") for each in ports]

        wait_for(lambda: told() == [1, 1])
        nursery = nursery_of(running.pid)
        assert nursery is not None
        os.kill(nursery, signal.SIGKILL)
        wait_for(lambda: told() == [0, 0], REPLACED_S)
        wait_for(lambda: told() == [1, 1], REPLACED_S)
        assert running.stop() == 0


def test_several_workers_are_refused_where_they_can_not_be_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loudly, rather than served by one, or from as many galleries."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(StartupError, match="setting workers: several need Linux"):
        child.adopt_descendants()


def test_a_nursery_that_hangs_is_killed_and_replaced(hanging: Hanging) -> None:
    """Last: the others are run while it is not noticed yet."""
    running, nursery = hanging.running, hanging.nursery
    wait_for(lambda: nursery_of(running.pid) not in (None, nursery), REPLACED_S)
    assert f"nursery, process {nursery}, has not answered for 30 s and is killed" in running.stderr
    assert workers_of(running.pid) == hanging.workers
    assert running.stop() == 0
