"""Killed in the middle of anything: what was acknowledged is there, and nobody by half."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from crash.templates import TEMPLATES, samples_of, template
from gerbang import EnrollRequest, GateClient, WatchlistClient, enroll_request, error_of
from pictures import photo
from running import RunningServer

LISTS = ("cegah", "tangkal")
KILLS = 5


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
                if (refused := error_of(answer)) is not None:
                    raise refused
                acknowledged.add(answer.subject.subject_id)
                if first:
                    killer.start()
                    first = False
    assert not first, caught.value
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
            assert error_of(answer) is None
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


def test_revision_and_answers_are_kept_over_a_kill(data: Path) -> None:
    """After a kill min_revision waits for the last change only, and a repeated request gets its first answer."""
    request_id = "00000000-0000-4000-8000-000000000001"
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        office.create_watchlist("cegah")
        first = office.enroll("", [template(1)], watchlists=["cegah"], request_id=request_id)
        running.kill()
    with RunningServer(data, *TEMPLATES) as running:
        with WatchlistClient(running.address) as office, GateClient(running.address) as gate:
            assert office.server_info().revision == first.revision
            started = time.monotonic()
            answer = gate.identify(template(1), min_revision=first.revision)
            assert time.monotonic() - started < 2
            assert answer.hit
            assert answer.revision == first.revision
            again = office.enroll("", [template(1)], watchlists=["cegah"], request_id=request_id)
            assert again.replayed
            assert again.subject == first.subject
            assert office.server_info().subject_count == 1
            assert office.enroll("two", [template(2)]).revision == first.revision + 1
