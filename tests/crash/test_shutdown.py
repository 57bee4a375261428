"""Sent away with SIGTERM, the server answers what it took, and keeps exactly that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from crash.templates import TEMPLATES, samples_of, template
from gerbang import EnrollRequest, WatchlistClient, enroll_request
from gerbang.v1.matching_service_pb2 import IdentifyRequest
from gerbang.v1.matching_service_pb2_grpc import MatchingServiceStub
from running import FreshServer as RunningServer


def test_calls_in_flight_at_the_end_are_answered_or_unavailable(data: Path) -> None:
    """At SIGTERM every concurrent call is answered or UNAVAILABLE, none hangs, and those answered are kept."""
    answered: set[str] = set()
    failures: list[grpc.StatusCode] = []
    lock = threading.Lock()
    with RunningServer(data, *TEMPLATES) as running:
        with WatchlistClient(running.address) as office:
            office.create_watchlist("cegah")
        begun = threading.Event()

        def call(worker: int) -> None:
            options = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))
            with grpc.insecure_channel(running.address, options) as channel:
                stub = MatchingServiceStub(channel)
                for number in range(worker * 10_000, (worker + 1) * 10_000):
                    name = f"person-{number}"
                    request = enroll_request(name, [template(number)], watchlists=["cegah"])
                    try:
                        stub.Enroll(request, timeout=30)
                        stub.Identify(IdentifyRequest(probe=template(number)), timeout=30)
                    except grpc.RpcError as error:
                        with lock:
                            failures.append(error.code())
                        return
                    with lock:
                        answered.add(name)
                    if len(answered) > 100:
                        begun.set()

        threads = [threading.Thread(target=call, args=(worker,)) for worker in range(24)]
        for thread in threads:
            thread.start()
        assert begun.wait(30)
        running.terminate()
        for thread in threads:
            thread.join(40)
        assert not any(thread.is_alive() for thread in threads)
        assert running.wait() == 0
    assert failures == [grpc.StatusCode.UNAVAILABLE] * 24
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        stored = {each.subject_id for each in office.list_subjects(page_size=1000)}
        assert answered <= stored
        # Beyond the answered, each thread can have had at most its last enrolment in flight.
        assert len(stored - answered) <= 24


def test_enrolments_sent_before_the_end_are_answered_and_kept(data: Path) -> None:
    """At SIGTERM an open EnrollStream is answered for what the server took, and exactly that is on disk."""
    answered = []
    open_end = threading.Event()

    def requests() -> Iterator[EnrollRequest]:
        for number in range(40):
            yield enroll_request(f"person-{number}", samples_of(number))
        open_end.wait(60)

    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        with pytest.raises(Exception, match="SHUTTING_DOWN"):
            for answer in office.enroll_stream(requests()):
                answered.append(answer.subject.subject_id)
                if len(answered) == 5:
                    running.terminate()
        open_end.set()
        assert running.wait() == 0
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        assert {each.subject_id for each in office.list_subjects(page_size=1000)} == set(answered)
