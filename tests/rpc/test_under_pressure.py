"""Too much work, too little time, no disk, not loaded yet, on the way down: later it may, and the client is told so."""

from __future__ import annotations

import os
import queue
import random
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from gerbang import EnrollRequest, Sample, WatchlistClient
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist
from gerbang_service.store.sqlite.store import SqliteStore
from pictures import large_photo, photo
from rpc.wire import TIMEOUT_S, Failure, Wire, failure, of_error, template, vector
from running import RunningServer, health_stub

SERVICES = ("", "gerbang.v1.MatchingService", "gerbang.v1.WatchlistService")
PLACES = 3


def unavailable(failed: Failure, reason: str) -> bool:
    """Tell whether a failure is UNAVAILABLE for a reason of Gerbang's."""
    return (failed.code, failed.reason, failed.domain) == (grpc.StatusCode.UNAVAILABLE, reason, "gerbang")


def health(wire: Wire, service: str = "") -> int:
    """Return the health status of a service."""
    stub = health_stub(wire.channel)
    status: int = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_S).status
    return status


def cpu_s(pid: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with one thread for images and three places."""
    data = tmp_path_factory.mktemp("narrow") / "data"
    options = ("--pack", "stand-in", "--image-workers", "1", "--max-pending-images", str(PLACES))
    with RunningServer(data, *options) as running:
        yield running


@pytest.fixture
def wire(narrow: RunningServer) -> Iterator[Wire]:
    """The narrow server."""
    with Wire(narrow.address) as opened:
        yield opened


def test_more_images_than_there_are_places_are_overloaded(wire: Wire) -> None:
    """Of many calls at once some are answered and the rest is OVERLOADED at once, with when to try again."""
    calls = [
        wire.matching.Identify.future(pb.IdentifyRequest(probe=Sample(image=large_photo(1))), timeout=TIMEOUT_S)
        for _ in range(PLACES + 5)
    ]
    while not any(call.done() for call in calls):
        time.sleep(0.01)
    assert sum(call.done() for call in calls) <= 5  # those that were refused did not wait for those that run
    assert health(wire) == health_pb2.HealthCheckResponse.SERVING
    assert wire.watchlists.GetServerInfo(office_pb.GetServerInfoRequest(), timeout=TIMEOUT_S).face_pack == "stand-in"
    refused = [of_error(error) for call in calls if isinstance(error := call.exception(), grpc.RpcError)]
    assert 1 <= len(refused) <= 5
    for failed in refused:
        assert (failed.code, failed.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert failed.retry_after_s is not None
        assert 0 < failed.retry_after_s <= 5
        assert failed.metadata["limit"] == str(PLACES)


def test_one_call_with_many_images_does_not_overload_the_server_by_itself(wire: Wire) -> None:
    """A batch, a stream and an enrolment of more images than there are places are answered: they take turns."""
    probes = [pb.IdentifyRequest(probe=Sample(image=photo(1)), sequence=number) for number in range(3 * PLACES)]
    batch = wire.matching.IdentifyBatch(pb.IdentifyBatchRequest(requests=probes), timeout=TIMEOUT_S)
    assert not any(each.HasField("error") for each in batch.responses)
    stream = list(wire.matching.IdentifyStream(iter(probes), timeout=TIMEOUT_S))
    assert len(stream) == len(probes)
    assert not any(each.HasField("error") for each in stream)
    enrolments = [EnrollRequest(samples=[Sample(image=photo(1))] * (2 * PLACES)) for _ in range(2)]
    enrolled = list(wire.matching.EnrollStream(iter(enrolments), timeout=TIMEOUT_S))
    assert [len(each.subject.templates) for each in enrolled] == [2 * PLACES] * 2


def test_work_whose_deadline_passed_in_the_queue_is_not_done(wire: Wire, narrow: RunningServer) -> None:
    """Calls that expire while they wait cost the server no processing: it spends time on the others only."""

    def identify(timeout_s: float) -> grpc.Future:  # type: ignore[type-arg]
        request = pb.IdentifyRequest(probe=Sample(image=large_photo(2)))
        return wire.matching.Identify.future(request, timeout=timeout_s)

    start = cpu_s(narrow.pid)
    identify(TIMEOUT_S).result()
    one = cpu_s(narrow.pid) - start

    start = cpu_s(narrow.pid)
    first = identify(TIMEOUT_S)
    time.sleep(0.05)
    expired: list[Any] = []
    # One after the other, as each that expired frees its place: if all were processed, five would cost seven times
    # `one`. A busy machine makes each second of the processor worth less, hence the room.
    while not first.done() and len(expired) < 20:
        waiting = identify(0.02)
        expired.append(waiting.exception())
    first.result()
    identify(TIMEOUT_S).result()
    spent = cpu_s(narrow.pid) - start
    assert len(expired) >= 3
    assert {error.code() for error in expired if isinstance(error, grpc.RpcError)} <= {
        grpc.StatusCode.DEADLINE_EXCEEDED
    }
    assert spent < (3 + 0.25 * len(expired)) * one


def _break_streams(wire: Wire) -> set[str]:
    """Enrol over streams that are cancelled with many items under way; return who was acknowledged."""
    acknowledged = set()
    for round_number in range(10):
        requests = (
            EnrollRequest(subject=Subject(subject_id=f"gone-{round_number}-{number}"), samples=[template(number)] * 3)
            for number in range(500)
        )
        answers = wire.matching.EnrollStream(requests, timeout=TIMEOUT_S)
        acknowledged |= {next(answers).subject.subject_id for _ in range(1 + round_number)}
        answers.cancel()
    return acknowledged


def test_callers_that_go_away_do_not_stop_the_writer(templates_server: RunningServer) -> None:
    """Enrolments and streams that are cancelled at any moment leave the server writing, and nobody by half."""
    chance = random.Random(11)
    with Wire(templates_server.address) as wire:
        calls = {}
        for number in range(300):
            name = f"gone-{number}"
            request = EnrollRequest(subject=Subject(subject_id=name), samples=[template(number)] * 3)
            calls[name] = wire.matching.Enroll.future(request, timeout=TIMEOUT_S)
            if number % 2:
                time.sleep(chance.random() * 0.004)
                calls[name].cancel()
        streamed = _break_streams(wire)
        acknowledged = streamed | {
            name for name, call in calls.items() if not call.cancelled() and call.exception() is None
        }
        assert len(acknowledged - streamed) >= 150
        after = EnrollRequest(subject=Subject(subject_id="gone-after"), samples=[template(1)])
        assert wire.matching.Enroll(after, timeout=10).subject.subject_id == "gone-after"
        with WatchlistClient(templates_server.address) as office:
            listed = {each.subject_id: len(each.templates) for each in office.list_subjects(page_size=1000)}
        assert acknowledged <= set(listed)
        del listed["gone-after"]
        assert {count for name, count in listed.items() if name.startswith("gone-")} == {3}


def test_health_watch_does_not_hold_up_the_end(data: Path) -> None:
    """A load balancer's open Watch hears NOT_SERVING at SIGTERM, and the server ends without waiting for it."""
    with RunningServer(data, "--pack", "none", "--dimension", "16", "--threshold", "0.5") as running:
        with Wire(running.address) as wire:
            watch = health_stub(wire.channel).Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            started = time.monotonic()
            running.terminate()
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert running.wait() == 0
            assert time.monotonic() - started < 15


def test_stream_is_answered_and_then_told_that_the_server_shuts_down(data: Path) -> None:
    """At SIGTERM an open IdentifyStream gets the answers to all it sent, then SHUTTING_DOWN; the server ends well."""
    count = 12
    sent: queue.SimpleQueue[pb.IdentifyRequest | None] = queue.SimpleQueue()
    for number in range(count):
        sent.put(pb.IdentifyRequest(probe=Sample(image=photo(1)), sequence=number))
    with RunningServer(data, "--pack", "stand-in", "--image-workers", "1") as running, Wire(running.address) as wire:
        answers = wire.matching.IdentifyStream(iter(sent.get, None), timeout=TIMEOUT_S)
        numbers = [next(answers).sequence]
        running.terminate()
        with pytest.raises(grpc.RpcError) as caught:
            numbers.extend(each.sequence for each in answers)
        sent.put(None)
        assert unavailable(of_error(caught.value), "SHUTTING_DOWN")
        assert sorted(numbers) == list(range(count))
        assert running.wait() == 0


def test_server_that_still_loads_is_not_ready_and_says_so(data: Path) -> None:
    """While a large gallery is loaded, health is NOT_SERVING and calls are NOT_READY; then both change."""
    count = 400_000
    store = SqliteStore(data)
    store.bind_model("unspecified", 16, ignore_others=False)
    with store._changing():
        store._writer.executemany(
            "INSERT INTO subjects (subject_key, subject_id, labels, create_time_ns, update_time_ns) "
            "VALUES (?, ?, '{}', 0, 0)",
            ((key, f"s{key}") for key in range(count // 100)),
        )
        unit_length = vector([1.0] + [0.0] * 15)
        store._writer.executemany(
            "INSERT INTO templates (subject_key, model, create_time_ns, vector) VALUES (?, 'unspecified', 0, ?)",
            ((number // 100, unit_length) for number in range(count)),
        )
    store.close()
    running = RunningServer(data, "--pack", "none", "--threshold", "0.5", "--no-encryption", wait_ready=False)
    try:
        with Wire(running.address) as wire:
            statuses = [health(wire, service) for service in SERVICES]
            identify = pb.IdentifyRequest(probe=template(1))
            failed = failure(lambda: wire.matching.Identify(identify, timeout=TIMEOUT_S))
            assert statuses == [health_pb2.HealthCheckResponse.NOT_SERVING] * 3
            assert unavailable(failed, "NOT_READY")
            running.expect("ready")
            assert wire.matching.Identify(identify, timeout=TIMEOUT_S).gallery_size == count
            assert [health(wire, service) for service in SERVICES] == [health_pb2.HealthCheckResponse.SERVING] * 3
    finally:
        running.kill()


@contextmanager
def full_disk(pid: int) -> Iterator[None]:
    """Let a process write no file beyond 4 KiB, as if the disk were full."""
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


def subjects(wire: Wire) -> set[str]:
    """Return the ids of all subjects."""
    page = wire.watchlists.ListSubjects(office_pb.ListSubjectsRequest(page_size=1000), timeout=TIMEOUT_S)
    return {each.subject_id for each in page.subjects}


def found(wire: Wire, number: int) -> list[str]:
    """Return whom Identify finds for a subject's own template."""
    request = pb.IdentifyRequest(probe=template(number), threshold=0.999)
    return [each.subject_id for each in wire.matching.Identify(request, timeout=TIMEOUT_S).candidates]


def test_write_to_a_full_disk_is_refused_and_reads_go_on(data: Path) -> None:
    """Without disk space no change is acknowledged or seen, reads go on, and later writes work; a restart agrees."""
    # Without an audit log, which would be on the same disk and refuse as well.
    options = ("--pack", "none", "--dimension", "16", "--threshold", "0.5", "--no-audit-log")
    with RunningServer(data, *options) as running, Wire(running.address) as wire:

        def enroll(number: int) -> pb.EnrollResponse:
            subject = Subject(subject_id=f"disk-{number}", watchlists=["disk"])
            return wire.matching.Enroll(EnrollRequest(subject=subject, samples=[template(number)]), timeout=TIMEOUT_S)

        delete = office_pb.DeleteSubjectRequest(subject_id="disk-0")
        watchlist = Watchlist(watchlist_id="disk")
        wire.watchlists.CreateWatchlist(office_pb.CreateWatchlistRequest(watchlist=watchlist), timeout=TIMEOUT_S)
        for number in range(20):
            enroll(number)
        revision = enroll(20).revision
        with full_disk(running.pid):
            for number in range(100, 110):
                assert unavailable(failure(lambda number=number: enroll(number)), "STORE_UNAVAILABLE")  # type: ignore[misc]
            deletion = failure(lambda: wire.watchlists.DeleteSubject(delete, timeout=TIMEOUT_S))
            assert unavailable(deletion, "STORE_UNAVAILABLE")
            assert found(wire, 100) == []
            assert found(wire, 0) == ["disk-0"]
            assert subjects(wire) == {f"disk-{number}" for number in range(21)}
            info = wire.watchlists.GetServerInfo(office_pb.GetServerInfoRequest(), timeout=TIMEOUT_S)
            assert (info.revision, info.gallery_size) == (revision, 21)
            assert health(wire) == health_pb2.HealthCheckResponse.SERVING
        assert enroll(100).revision == revision + 1
        assert found(wire, 100) == ["disk-100"]
        wire.watchlists.DeleteSubject(delete, timeout=TIMEOUT_S)
        running.kill()
    with RunningServer(data, *options) as running, Wire(running.address) as wire:
        assert subjects(wire) == {f"disk-{number}" for number in (*range(1, 21), 100)}
        assert found(wire, 100) == ["disk-100"]
        assert found(wire, 0) == []
        assert found(wire, 105) == []
