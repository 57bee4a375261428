"""An upload can be repeated: it reads a bounded number ahead, and enrols nobody twice."""

from __future__ import annotations

import json
import queue
import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

import gerbang
from cli.photo_files import photos
from gerbang import EnrollRequest, EnrollResponse, EnrollWarning
from gerbang_service.cli.enrolment_report import Tally, report
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.output import Output
from gerbang_service.cli.photos import Found, Person, find_people
from gerbang_service.cli.upload import LOOK_AHEAD, Outcome, Terms, Upload, request_for, request_id

EXPIRY = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_request_id_is_that_of_the_request() -> None:
    """The same request has the same id whenever it is made; any difference gives another."""
    terms = Terms(watchlists=["b", "a"], expire_time=EXPIRY, labels={"k": "v"})
    same = Terms(watchlists=["a", "b"], expire_time=EXPIRY.astimezone(), labels={"k": "v"})
    first = request_id("S", b"photo", terms)
    assert first == request_id("S", b"photo", same) == str(uuid.UUID(first))
    others = {
        request_id("S2", b"photo", terms),
        request_id("S", b"other", terms),
        request_id("S", b"photo", Terms(watchlists=["a", "b"], labels={"k": "v"})),
        request_id("S", b"photo", Terms(watchlists=["a"], expire_time=EXPIRY, labels={"k": "v"})),
        request_id("S", b"photo", Terms(watchlists=["a", "b"], expire_time=EXPIRY)),
        request_id("S", b"photo", Terms(["a", "b"], expire_time=EXPIRY, labels={"k": "v"}, face_choice="largest")),
        request_id("S", b"photo", terms, generation=1),
    }
    assert len(others | {first}) == 8
    assert request_for("S", b"photo", terms) == request_for("S", b"photo", same)
    # Who answers for a photo that was refused sends all again: those that were taken are repeats.
    answered_for = request_for("S", b"photo", replace(terms, allow_different=True))
    assert answered_for.allow_different
    assert answered_for.request_id == request_for("S", b"photo", terms).request_id
    # A release that made other ids would enrol everybody once more.
    assert request_id("S-1", b"photo", Terms(watchlists=["cegah"])) == "78838cad-6452-526b-bd7d-c59bb65c8257"


def answer_of(request: EnrollRequest, known: set[str], deleted: set[str]) -> EnrollResponse:
    """Answer as the server does: remembers request ids, refuses those whose subject was deleted since."""
    if request.request_id in deleted:
        info = error_details_pb2.ErrorInfo(reason="SUBJECT_NOT_FOUND", domain="gerbang")
        response = EnrollResponse(error=status_pb2.Status(code=5, message="was deleted since"))
        response.error.details.add().Pack(info)
        return response
    replayed = request.request_id in known
    known.add(request.request_id)
    return EnrollResponse(sample_results=[gerbang.SampleResult(template_id="7")], replayed=replayed)


class Office:
    """Stands in for a WatchlistClient: reads requests in a thread of its own, as gRPC does."""

    def __init__(self, *, breaks_after: int | None = None) -> None:
        self.known: set[str] = set()
        self.deleted: set[str] = set()
        self.most_unanswered = 0
        self._breaks_after = breaks_after

    def enroll_stream(self, requests: Iterable[EnrollRequest], **_: object) -> Iterator[EnrollResponse]:
        """Answer in order; break after as many answers as told."""
        read: queue.Queue[EnrollRequest | None] = queue.Queue()

        def read_all() -> None:
            for request in requests:
                read.put(request)
            read.put(None)

        threading.Thread(target=read_all, daemon=True).start()
        answered = 0
        while (request := read.get(timeout=10)) is not None:
            if answered == self._breaks_after:
                raise gerbang.Unavailable("x:1 is unavailable: gone", code=grpc.StatusCode.UNAVAILABLE)
            self.most_unanswered = max(self.most_unanswered, read.qsize() + 1)
            yield answer_of(request, self.known, self.deleted)
            answered += 1


def run(office: Any, people: list[Person], *, again: bool = False) -> Tally:
    tally = Tally(Found(tuple(people)))
    upload = Upload(office, people, Terms(), again=again)
    try:
        for result in upload.results():
            tally.add(result)
    except gerbang.GerbangError as error:
        tally.broken = error
    tally.unanswered = upload.unanswered
    return tally


def crowd(folder: Path, count: int) -> list[Person]:
    return list(find_people(photos(folder, *(f"P{number:03}/1.jpg" for number in range(count)))).people)


def test_upload_reads_a_bounded_number_ahead(tmp_path: Path) -> None:
    """Files are read as answers come, so that memory does not grow with the folder."""
    office = Office()
    tally = run(office, crowd(tmp_path, 4 * LOOK_AHEAD))
    assert tally.counts[Outcome.ENROLLED] == 4 * LOOK_AHEAD
    assert office.most_unanswered <= LOOK_AHEAD


def test_second_run_finishes_the_first(tmp_path: Path) -> None:
    """What broke off is told with what was kept, and a second run adds only the rest."""
    people = crowd(tmp_path, 10)
    office = Office(breaks_after=4)
    first = run(office, people)
    assert (first.kept, first.finished, first.exit_code) == (4, False, ExitCode.ERROR)
    assert first.unanswered >= 1
    office._breaks_after = None
    second = run(office, people)
    assert second.counts == {Outcome.ALREADY_THERE: 4, Outcome.ENROLLED: 6}
    assert second.exit_code == ExitCode.YES


def test_deleted_people_come_back_only_when_asked_for(tmp_path: Path) -> None:
    """A repeated run does not undo a deletion; --again does, once."""
    people = crowd(tmp_path, 2)
    office = Office()
    run(office, people)
    office.deleted.update(office.known)
    assert run(office, people).counts == {Outcome.REJECTED: 2}
    assert run(office, people, again=True).counts == {Outcome.ENROLLED: 2}
    assert run(office, people, again=True).counts == {Outcome.ALREADY_THERE: 2}


def test_whose_end_of_validity_has_passed_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An office that mistook a time zone learns that nobody it enrolled will be found."""

    class Expired(Office):
        def enroll_stream(self, requests: Iterable[EnrollRequest], **named: object) -> Iterator[EnrollResponse]:
            for answer in super().enroll_stream(requests, **named):
                answer.warnings.append(EnrollWarning.ENROLL_WARNING_EXPIRED)
                yield answer

    tally = run(Expired(), crowd(tmp_path, 2))
    report(tally, Output(as_json=False))
    assert "The end of validity has passed for 2: Identify does not see them" in capsys.readouterr().out
    report(tally, Output(as_json=True))
    assert [each["expired"] for each in json.loads(capsys.readouterr().out)["results"]] == [True, True]


def test_unreadable_file_does_not_end_the_upload(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that vanished is a rejected photo; the others are enrolled; the report is one JSON document."""
    people = crowd(tmp_path, 3)
    people[1].photos[0].unlink()
    tally = run(Office(), people)
    assert tally.counts == {Outcome.ENROLLED: 2, Outcome.REJECTED: 1}
    report(tally, Output(as_json=True))
    content = json.loads(capsys.readouterr().out)
    assert content["counts"] == {"enrolled": 2, "already_there": 0, "rejected": 1, "not_done": 0}
    assert content["without_photo"] == ["P001"]
    assert content["results"][0]["template_id"] == "7"
    assert tally.exit_code == ExitCode.NO
