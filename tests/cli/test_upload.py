"""An upload can be repeated: it reads a bounded number ahead, and enrols nobody twice."""

from __future__ import annotations

import json
import os
import queue
import threading
import time
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
from gerbang import EnrollRequest, EnrollResponse, EnrollWarning, OnExisting
from gerbang_service.cli import upload
from gerbang_service.cli.enrolment_report import Tally, report
from gerbang_service.cli.enrolments import Enrolment, Outcome, PhotoResult, Terms, request_for, request_id, results_of
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.output import Output
from gerbang_service.cli.photos import Person, find_people
from gerbang_service.cli.upload import LARGEST_FILE, LOOK_AHEAD, Upload

EXPIRY = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_request_id_is_that_of_the_request() -> None:
    """The same request has the same id whenever it is made; any difference gives another."""
    terms = Terms(watchlists=["b", "a"], expire_time=EXPIRY, labels={"k": "v"})
    same = Terms(watchlists=["a", "b"], expire_time=EXPIRY.astimezone(), labels={"k": "v"})
    first = request_id("S", [b"photo"], terms, "add")
    assert first == request_id("S", [b"photo"], same, "add") == str(uuid.UUID(first))
    others = {
        request_id("S2", [b"photo"], terms, "add"),
        request_id("S", [b"other"], terms, "add"),
        request_id("S", [b"photo"], terms, "reject"),
        request_id("S", [b"photo", b"other"], terms, "reject"),
        request_id("S", [b"photo", b"other"], terms, "add"),
        request_id("S", [b"photo"], Terms(watchlists=["a", "b"], labels={"k": "v"}), "add"),
        request_id("S", [b"photo"], Terms(watchlists=["a"], expire_time=EXPIRY, labels={"k": "v"}), "add"),
        request_id("S", [b"photo"], Terms(watchlists=["a", "b"], expire_time=EXPIRY), "add"),
        request_id("S", [b"photo"], Terms(["a", "b"], None, EXPIRY, {"k": "v"}, face_choice="largest"), "add"),
        request_id("S", [b"photo"], terms, "add", generation=1),
        request_id("S", [b"photo"], terms, "add", after="x"),
    }
    assert len(others | {first}) == 12
    assert request_for("S", [b"photo"], terms, "add") == request_for("S", [b"photo"], same, "add")
    # Who answers for a photo that was refused sends all again: those that were taken are repeats.
    answered_for = request_for("S", [b"photo"], replace(terms, allow_different=True), "add")
    assert answered_for.allow_different
    assert answered_for.request_id == request_for("S", [b"photo"], terms, "add").request_id
    # A release that made other ids would enrol everybody once more.
    listed = Terms(watchlists=["cegah"])
    assert request_id("S-1", [b"photo"], listed, "add") == "78838cad-6452-526b-bd7d-c59bb65c8257"
    assert request_id("S-1", [b"1", b"2"], listed, "reject") == "60e11255-46e8-5a28-bec1-c0ba3c51e706"


def failure(reason: str, code: int, message: str, **metadata: str) -> EnrollResponse:
    response = EnrollResponse(error=status_pb2.Status(code=code, message=message))
    info = error_details_pb2.ErrorInfo(reason=reason, domain="gerbang", metadata=metadata)
    response.error.details.add().Pack(info)
    return response


def answer_of(request: EnrollRequest, known: set[str], deleted: set[str], subjects: set[str]) -> EnrollResponse:
    """Answer as the server does: remembers request ids, refuses those whose subject was deleted since.

    Photos that say that they are bad are rejected, and subjects that are there, unless these may be added to.
    """
    if request.request_id in deleted:
        return failure("SUBJECT_NOT_FOUND", 5, "was deleted since")
    bad = [b"bad" in sample.image for sample in request.samples]
    if all(bad) or (any(bad) and not request.allow_partial):
        return failure("NO_FACE", 9, "no face")
    replayed = request.request_id in known
    name = request.subject.subject_id
    if not replayed and name in subjects and request.on_existing == OnExisting.ON_EXISTING_REJECT:
        return failure("SUBJECT_EXISTS", 6, "is already enrolled")
    known.add(request.request_id)
    subjects.add(name)
    results = [gerbang.SampleResult(rejection="NO_FACE") if b else gerbang.SampleResult(template_id="7") for b in bad]
    return EnrollResponse(sample_results=results, replayed=replayed)


class Office:
    """Stands in for a WatchlistClient: reads requests in a thread of its own, as gRPC does."""

    def __init__(self, *, breaks_after: int | None = None) -> None:
        self.known: set[str] = set()
        self.deleted: set[str] = set()
        self.subjects: set[str] = set()
        self.sizes: list[tuple[str, int, str]] = []
        self.most_unanswered = 0
        self._breaks_after = breaks_after

    def enroll_stream(self, requests: Iterable[EnrollRequest], **_: object) -> Iterator[EnrollResponse]:
        """Answer in order; break after as many answers as told."""
        read: queue.Queue[EnrollRequest | None] = queue.Queue()

        def read_all() -> None:
            for request in requests:
                read.put(request)
            read.put(None)

        threading.Thread(target=read_all, name="reader", daemon=True).start()
        answered = 0
        while (request := read.get(timeout=10)) is not None:
            if answered == self._breaks_after:
                raise gerbang.Unavailable("x:1 is unavailable: gone", code=grpc.StatusCode.UNAVAILABLE)
            self.most_unanswered = max(self.most_unanswered, read.qsize() + 1)
            word = OnExisting.Name(request.on_existing).removeprefix("ON_EXISTING_").lower()
            self.sizes.append((request.subject.subject_id, len(request.samples), word))
            yield answer_of(request, self.known, self.deleted, self.subjects)
            answered += 1


def run(office: Any, people: list[Person], *, again: bool = False, on_existing: str = "reject") -> Tally:
    tally = Tally([each.subject_id for each in people], sum(len(each.photos) for each in people))
    terms = Terms(on_existing=on_existing)
    asked = [Enrolment(each.subject_id, each.photos, terms) for each in people]
    going = Upload(office, asked, again=again)
    try:
        for result in going.results():
            tally.add(result)
    except gerbang.GerbangError as error:
        tally.broken = error
    tally.unanswered = going.unanswered
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


def test_after_a_refusal_it_says_to_mend_that(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sent again as it is, it would be refused again; and nothing was kept that was not told."""

    class Refusing(Office):
        def enroll_stream(self, requests: Iterable[EnrollRequest], **_: object) -> Iterator[EnrollResponse]:
            next(iter(requests))
            raise gerbang.RoleDenied("role gate may not call EnrollStream", reason="ROLE_DENIED")
            yield

    report(run(Refusing(), crowd(tmp_path, 1)), Output(as_json=False))
    said = capsys.readouterr().err
    assert "not finished: 0 of 1 photos are kept, 1 to be sent again (mend that, then run" in said
    report(run(Office(breaks_after=0), crowd(tmp_path, 1)), Output(as_json=False))
    assert "may have kept them without saying so (run the same command again" in capsys.readouterr().err


def test_deleted_people_come_back_only_when_asked_for(tmp_path: Path) -> None:
    """A repeated run does not undo a deletion; --again does, once."""
    people = crowd(tmp_path, 2)
    office = Office()
    run(office, people)
    office.deleted.update(office.known)
    office.subjects.clear()
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
    assert "Not found by Identify, since the time is over: P000, P001" in capsys.readouterr().out
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


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe that nobody writes to would be read for ever; a picture is larger than a message may be."""
    people = crowd(tmp_path, 3)
    people[0].photos[0].unlink()
    os.mkfifo(people[0].photos[0])
    os.truncate(people[1].photos[0], LARGEST_FILE + 1)
    tally = run(Office(), people)
    assert [each.reason for each in tally.results] == ["", "FILE_UNREADABLE", "IMAGE_TOO_LARGE"]
    assert tally.exit_code == ExitCode.NO


def test_large_photos_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, whatever the size; who waits for several turns when the stream breaks is not left waiting."""
    monkeypatch.setattr(upload, "_TURN", 1000)
    people = crowd(tmp_path, 40)
    for person in people:
        os.truncate(person.photos[0], 4500)
    office = Office()
    assert run(office, people).counts == {Outcome.ENROLLED: 40}
    assert office.most_unanswered <= 7
    run(Office(breaks_after=1), people)
    deadline = time.monotonic() + 10
    while any(each.name == "reader" for each in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_photos_of_a_person_are_one_request(tmp_path: Path) -> None:
    """So they are kept together or not; more than fit are added to the first, once those are kept."""
    names = [f"P1/{number:02}.jpg" for number in range(45)]
    people = list(find_people(photos(tmp_path, *names, "P2/1.jpg")).people)
    office = Office()
    assert run(office, people).counts == {Outcome.ENROLLED: 46}
    assert office.sizes == [("P1", 20, "reject"), ("P2", 1, "reject"), ("P1", 20, "add"), ("P1", 5, "add")]
    assert run(office, people).counts == {Outcome.ALREADY_THERE: 46}


def test_nobody_is_added_to_who_is_somebody_else(tmp_path: Path) -> None:
    """Not by the first of their photos, nor by those that would have followed."""
    people = list(find_people(photos(tmp_path, *(f"P1/{number:02}.jpg" for number in range(45)))).people)
    office = Office()
    office.subjects.add("P1")
    tally = run(office, people)
    assert tally.counts == {Outcome.REJECTED: 45}
    assert {each.reason for each in tally.results} == {"SUBJECT_EXISTS"}
    assert office.sizes == [("P1", 20, "reject")]
    assert tally.exit_code == ExitCode.ERROR
    assert run(office, people, on_existing="add").counts == {Outcome.ENROLLED: 45}


def test_each_photo_is_told_why_it_was_not_used(tmp_path: Path) -> None:
    """Where none of a person's photos can be used the server says why of one: the others are asked about again."""
    names = ["P1/1.jpg", "P1/2-bad.jpg", "P2/1-bad.jpg", "P2/2-bad.jpg", "P3/1-bad.jpg"]
    tally = run(Office(), list(find_people(photos(tmp_path, *names)).people))
    assert tally.counts == {Outcome.ENROLLED: 1, Outcome.REJECTED: 4}
    assert {each.photo.name for each in tally.results if each.photo and each.reason == "NO_FACE"} == {
        *("1-bad.jpg", "2-bad.jpg"),
    }
    assert tally.without_photo == ["P2", "P3"]
    assert tally.exit_code == ExitCode.NO


def test_duplicates_are_told_by_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody with many photos does not hide the others: a line for two people, with the highest similarity."""
    tally = Tally(["P-1", "P-2"], 31)
    for number in range(30):
        found = gerbang.Candidate(subject_id="Q-1", similarity=0.5 + number / 100)
        tally.add(PhotoResult(tmp_path / f"{number}.jpg", "P-1", Outcome.ENROLLED, duplicates=(found,)))
    last = gerbang.Candidate(subject_id="Q-2", similarity=0.6)
    tally.add(PhotoResult(tmp_path / "x.jpg", "P-2", Outcome.ENROLLED, duplicates=(last,)))
    report(tally, Output(as_json=False))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["P-1", "Q-1", "30", "0.7900"] in rows
    assert ["P-2", "Q-2", "1", "0.6000"] in rows


def test_whoever_is_left_without_a_photo_is_in_the_exit_code(tmp_path: Path) -> None:
    """Somebody whose folder is empty too, and files that are nobody's."""
    people = [Person("P1", (photos(tmp_path, "1.jpg") / "1.jpg",))]
    assert run(Office(), people).exit_code == ExitCode.YES
    assert run(Office(), [*people, Person("P2", ())]).exit_code == ExitCode.NO
    tally = run(Office(), people)
    tally.skipped = [tmp_path / "notes.txt"]
    assert tally.exit_code == ExitCode.NO


def test_photos_that_are_added_are_recognised_one_by_one(tmp_path: Path) -> None:
    """With another photo in the folder, only that one is new."""
    photos(tmp_path, "P1/3.jpg", "P1/5.jpg")
    office = Office()
    assert run(office, list(find_people(tmp_path).people), on_existing="add").counts == {Outcome.ENROLLED: 2}
    photos(tmp_path, "P1/4.jpg")
    tally = run(office, list(find_people(tmp_path).people), on_existing="add")
    assert tally.counts == {Outcome.ENROLLED: 1, Outcome.ALREADY_THERE: 2}


def test_what_replaces_others_is_not_taken_for_what_it_erased(tmp_path: Path) -> None:
    """With a photo more among the first, all are sent again: those before were erased with the rest."""
    photos(tmp_path, *(f"P1/{number:02}.jpg" for number in range(1, 26)))
    office = Office()
    for _ in range(2):
        run(office, list(find_people(tmp_path).people), on_existing="replace")
    assert office.sizes == [("P1", 20, "replace"), ("P1", 5, "add")] * 2
    assert len(office.known) == 2
    photos(tmp_path, "P1/00.jpg")
    tally = run(office, list(find_people(tmp_path).people), on_existing="replace")
    assert tally.counts == {Outcome.ENROLLED: 26}
    assert len(office.known) == 4


@pytest.mark.parametrize(
    ("samples", "named"),
    [("0,2;1", "unlike (a.jpg, c.jpg; b.jpg)"), ("", "unlike"), ("0;9", "unlike"), ("a person", "unlike")],
)
def test_photos_that_differ_are_told_by_their_names(samples: str, named: str) -> None:
    """The server tells them by number."""
    answer = failure("SAMPLES_DIFFER", 9, "unlike", samples=samples)
    results = results_of("P1", [Path("a.jpg"), Path("b.jpg"), Path("c.jpg")], answer)
    assert {each.detail for each in results} == {named}
    assert len(results) == 3
