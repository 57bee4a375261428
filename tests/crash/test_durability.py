"""Killed, full, damaged or sent away: what was acknowledged is there, and nothing else."""

from __future__ import annotations

import random
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import grpc
import numpy as np
import pytest

from gerbang import (
    EnrollRequest,
    GateClient,
    Sample,
    Template,
    WatchlistClient,
    enroll_request,
    error_of,
)
from gerbang.v1.matching_service_pb2 import IdentifyRequest
from gerbang.v1.matching_service_pb2_grpc import MatchingServiceStub
from pictures import photo
from running import RunningServer, StartRefused

TEMPLATES = ("--pack", "none", "--dimension", "16", "--threshold", "0.5")
LISTS = ("cegah", "tangkal")
KILLS = 5
REFUSED = 3


def template(seed: int) -> Sample:
    """Return a random template; of two seeds they are not similar."""
    vector = np.random.default_rng((seed, 23)).normal(size=16)
    return Sample(template=Template(vector=vector.astype("<f4").tobytes()))


def samples_of(number: int) -> list[Sample]:
    """Return three templates of one person."""
    return [template(10 * number + sample) for sample in range(3)]


def enrolments(round_number: int, sent: set[str]) -> Iterator[EnrollRequest]:
    """Yield enrolments without end, each of three samples on two lists, noting what was sent."""
    for number in range(round_number * 100_000, (round_number + 1) * 100_000):
        name = f"person-{number}"
        sent.add(name)
        yield enroll_request(name, samples_of(number), watchlists=LISTS, labels={"n": str(number)})


def enrol_until_killed(running: RunningServer, round_number: int, sent: set[str], after_s: float) -> set[str]:
    """Enrol over a stream until the server is killed in the middle of it; return who was acknowledged."""
    acknowledged: set[str] = set()
    killer = threading.Timer(after_s, running.process.kill)
    with WatchlistClient(running.address) as office:
        first = True
        with pytest.raises(Exception) as caught:  # noqa: PT011 - looked at below
            for answer in office.enroll_stream(enrolments(round_number, sent)):
                assert error_of(answer) is None
                acknowledged.add(answer.subject.subject_id)
                if first:
                    killer.start()
                    first = False
    killer.join()
    running.wait()
    assert getattr(caught.value, "code", None) is grpc.StatusCode.UNAVAILABLE, caught.value
    return acknowledged


def check_all_there(running: RunningServer, acknowledged: set[str], sent: set[str]) -> int:
    """Check that everyone acknowledged is there and found, and that nobody is there by half; return how many are."""
    with WatchlistClient(running.address) as office, GateClient(running.address, timeout=60) as gate:
        stored = {each.subject_id: each for each in office.list_subjects(page_size=1000)}
        assert acknowledged <= set(stored) <= sent
        for subject in stored.values():
            assert len(subject.templates) == 3
            assert tuple(subject.watchlists) == LISTS
            assert subject.labels["n"] == subject.subject_id.removeprefix("person-")
        info = office.server_info()
        assert (info.subject_count, info.gallery_size) == (len(stored), 3 * len(stored))
        names = sorted(stored)
        probes = [samples_of(int(name.removeprefix("person-")))[index % 3] for index, name in enumerate(names)]
        found = {}
        for answer in gate.identify_stream(probes, threshold=0.999, plan="exact"):
            found[names[answer.sequence]] = [each.subject_id for each in answer.candidates]
        assert found == {name: [name] for name in names}
    return len(stored)


def test_what_was_acknowledged_survives_kill_after_kill(data: Path) -> None:
    """Killed in the middle of EnrollStream, again and again on the same data: nothing acknowledged or half is lost."""
    chance = random.Random(4)
    acknowledged: set[str] = set()
    sent: set[str] = set()
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        for name in LISTS:
            office.create_watchlist(name)
        for round_number in range(KILLS):
            now = running if round_number == 0 else RunningServer(data, *TEMPLATES)
            check_all_there(now, acknowledged, sent)
            before = len(acknowledged)
            acknowledged |= enrol_until_killed(now, round_number, sent, chance.uniform(0.05, 0.5))
            assert len(acknowledged) > before
            assert now.process.returncode == -9
    with RunningServer(data, *TEMPLATES) as running:
        assert check_all_there(running, acknowledged, sent) >= len(acknowledged)
        assert len(sent) > len(acknowledged)  # the kills did come in the middle


def test_people_enrolled_by_photo_survive_a_kill(data: Path) -> None:
    """Killed while photos are being enrolled, the server finds everyone it acknowledged, by another photo of them."""

    def requests() -> Iterator[EnrollRequest]:
        for number in range(400):
            samples = [photo(number % 40, 1 + number // 40), photo(number % 40, 101 + number // 40)]
            yield enroll_request(f"photo-{number}", samples, watchlists=["cegah"])

    acknowledged = []
    with RunningServer(data, "--pack", "stand-in") as running, WatchlistClient(running.address) as office:
        office.create_watchlist("cegah")
        with suppress(Exception):
            for answer in office.enroll_stream(requests()):
                acknowledged.append(answer.subject.subject_id)
                if len(acknowledged) == 12:
                    running.process.kill()
        running.wait()
    assert 12 <= len(acknowledged) < 400
    with RunningServer(data, "--pack", "stand-in") as running:
        with WatchlistClient(running.address) as office, GateClient(running.address, timeout=60) as gate:
            stored = {each.subject_id: len(each.templates) for each in office.list_subjects()}
            assert set(acknowledged) <= set(stored)
            assert set(stored.values()) == {2}
            answers = gate.identify_batch([photo(number, 200) for number in range(12)])
            for number, found in enumerate(answers):
                assert f"photo-{number}" in [each.subject_id for each in found.candidates]


def test_revision_goes_on_where_it_was(data: Path) -> None:
    """After a kill the revision is that of the last acknowledged change, and min_revision waits for no more."""
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        office.create_watchlist("cegah")
        revision = office.enroll("one", [template(1)], watchlists=["cegah"]).revision
        running.kill()
    with RunningServer(data, *TEMPLATES) as running:
        with WatchlistClient(running.address) as office, GateClient(running.address) as gate:
            assert office.server_info().revision == revision
            started = time.monotonic()
            answer = gate.identify(template(1), min_revision=revision)
            assert time.monotonic() - started < 2
            assert answer.hit
            assert answer.revision == revision
            assert office.enroll("two", [template(2)]).revision == revision + 1


def test_repeat_after_a_kill_gets_the_first_answer(data: Path) -> None:
    """A request_id answered before a kill gets the same answer after it, and enrols nobody twice."""
    request_id = "00000000-0000-4000-8000-000000000001"
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        first = office.enroll("", [template(1)], request_id=request_id)
        running.kill()
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        again = office.enroll("", [template(1)], request_id=request_id)
        assert again.replayed
        assert again.subject == first.subject
        assert office.server_info().subject_count == 1


def refusal(data: Path, *options: str) -> str:
    """Start a server that must refuse; return what it said."""
    before = len(stderr_of(data))
    with pytest.raises(StartRefused) as caught:
        RunningServer(data, *options)
    assert caught.value.returncode == REFUSED, caught.value
    said = stderr_of(data)[before:]
    assert "Traceback" not in said
    assert "gerbang serve: " in said
    return said


def stderr_of(data: Path) -> str:
    """Return what the servers of a data folder logged."""
    file = data.parent / f"{data.name}.stderr"
    return file.read_text() if file.exists() else ""


def test_second_server_on_the_same_data_is_refused(data: Path) -> None:
    """A second server on a folder that is in use refuses and names the first; the first one goes on."""
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        said = refusal(data, *TEMPLATES)
        assert "in use" in said
        assert str(running.pid) in said
        assert office.enroll("still", [template(1)]).subject.subject_id == "still"


@pytest.fixture
def stored(data: Path) -> Path:
    """A data folder with 200 people in it and nothing left in the write-ahead log; returns its database."""
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        requests = (enroll_request(f"person-{number}", samples_of(number)) for number in range(200))
        assert len(list(office.enroll_stream(requests))) == 200
    database = data / "gerbang.sqlite3"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    return database


def test_damaged_or_foreign_database_is_refused(stored: Path, data: Path) -> None:
    """A database that was overwritten, cut, is of another program or of a newer version is refused, and says so."""
    whole = stored.read_bytes()
    pages = len(whole) // 4096
    assert pages > 10

    stored.write_bytes(b"X" * 100 + whole[100:])
    assert "not a database" in refusal(data, *TEMPLATES)

    middle = 4096 * (pages // 2)
    stored.write_bytes(whole[:middle] + b"\xa5" * 4096 + whole[middle + 4096 :])
    assert "damaged" in refusal(data, *TEMPLATES)

    stored.write_bytes(whole[:middle])
    assert "damaged" in refusal(data, *TEMPLATES) or "malformed" in stderr_of(data)

    stored.write_bytes(whole)
    with closing(sqlite3.connect(stored)) as connection:
        connection.execute("PRAGMA application_id = 7")
    assert "not one of Gerbang's" in refusal(data, *TEMPLATES)

    stored.write_bytes(whole)
    with closing(sqlite3.connect(stored)) as connection:
        connection.execute("PRAGMA user_version = 99")
    said = refusal(data, *TEMPLATES)
    assert "99" in said
    assert "too old" in said

    stored.write_bytes(whole)
    with closing(sqlite3.connect(stored)) as connection:
        connection.execute("UPDATE templates SET vector = x'00' WHERE template_id = 5")
        connection.commit()
    assert "template 5" in refusal(data, *TEMPLATES)

    # The test itself does no harm: as it was, the database is served.
    stored.write_bytes(whole)
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        assert office.server_info().subject_count == 200


def test_templates_of_another_recogniser_are_refused_or_ignored(data: Path) -> None:
    """A server with another recogniser refuses and names both; told to ignore the others, it never returns them."""
    model = "a" * 64
    with RunningServer(data, *TEMPLATES, "--model", model) as running, WatchlistClient(running.address) as office:
        office.create_watchlist("cegah")
        office.enroll("other-model", [template(1)], watchlists=["cegah"])

    assert model in refusal(data, *TEMPLATES, "--model", "b" * 64)
    said = refusal(data, "--pack", "stand-in")
    assert model in said

    with RunningServer(data, "--pack", "stand-in", "--other-models", "ignore") as running:
        with WatchlistClient(running.address) as office, GateClient(running.address, timeout=60) as gate:
            info = office.server_info()
            assert info.model in said
            assert (info.gallery_size, info.subject_count) == (0, 1)
            office.enroll("this-model", [photo(1)], watchlists=["cegah"])
            answer = gate.identify(photo(1, 2), threshold=-1, max_candidates=100)
            assert [each.subject_id for each in answer.candidates] == ["this-model"]
            assert [each.model for each in office.get_subject("other-model").templates] == [model]


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


def test_bound_address_is_printed_and_a_taken_port_is_refused(data: Path, tmp_path: Path) -> None:
    """Port 0 prints the port that was bound, and a port that is in use is a refusal that names it."""
    with RunningServer(data, *TEMPLATES) as running:
        host, _, port = running.address.rpartition(":")
        assert host == "127.0.0.1"
        assert int(port) > 0
        with socket.create_connection((host, int(port)), timeout=5):
            pass
        said = refusal(tmp_path / "other", *TEMPLATES, "--listen", running.address)
        assert running.address in said


def test_data_path_that_is_a_file_is_refused(data: Path) -> None:
    """A data folder that is a file is a refusal that names it."""
    data.write_text("not a folder")
    assert str(data) in refusal(data, *TEMPLATES)
