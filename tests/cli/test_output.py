"""The command line's own decisions: whose photos, which ids, what is printed, and with which code it ends."""

from __future__ import annotations

import json
import queue
import threading
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

import gerbang
from gerbang import EnrollRequest, EnrollResponse
from gerbang_service.cli.advice import _BY_REASON, advice, may_succeed_later
from gerbang_service.cli.changes import changes
from gerbang_service.cli.demo.cast import Part
from gerbang_service.cli.demo.truth import Entry, Truth, entries, gravest
from gerbang_service.cli.documents import document, error_document
from gerbang_service.cli.enrolment_report import Tally, report
from gerbang_service.cli.exits import ExitCode, overall
from gerbang_service.cli.options import Label, Moment
from gerbang_service.cli.output import Output, failure_line, printable
from gerbang_service.cli.photos import Found, Person, UnclearPhotosError, find_people, id_of
from gerbang_service.cli.upload import LOOK_AHEAD, Outcome, Terms, Upload, request_for, request_id
from gerbang_service.domain import errors as domain

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def photos(folder: Path, *names: str) -> Path:
    """Make files of these names, each with another content."""
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    return folder


def ids(found: Found) -> dict[str, list[str]]:
    return {person.subject_id: [photo.name for photo in person.photos] for person in found.people}


def test_exit_code_of_several() -> None:
    """An error outweighs a hit, and a hit outweighs no hit."""
    assert overall([ExitCode.NO, ExitCode.NO]) == ExitCode.NO
    assert overall([ExitCode.NO, ExitCode.YES]) == ExitCode.YES
    assert overall([ExitCode.YES, ExitCode.ERROR, ExitCode.NO]) == ExitCode.ERROR


def test_a_photo_alone(tmp_path: Path) -> None:
    """A file is one person, named as told or after the file, whatever its suffix."""
    photos(tmp_path, "Ana B.data")
    assert ids(find_people(tmp_path / "Ana B.data")) == {"Ana_B": ["Ana B.data"]}
    assert list(ids(find_people(tmp_path / "Ana B.data", subject_id="S-1"))) == ["S-1"]
    assert id_of("Müller, A/b:c.d-e" + "x" * 300) == "M_ller__A_b:c.d-e" + "x" * 111


def test_folder_of_one_person(tmp_path: Path) -> None:
    """A folder of photos is one person; other and hidden files are no photos, and the limit takes the first by name."""
    photos(tmp_path / "Bo", "2.JPG", "1.png", "3.jp2", "notes.txt", ".4.jpg")
    found = find_people(tmp_path / "Bo", limit=2)
    assert ids(found) == {"Bo": ["1.png", "2.JPG"]}
    assert [path.name for path in found.skipped] == ["notes.txt"]


def test_folder_of_people(tmp_path: Path) -> None:
    """A folder of folders is a person each; what holds no photo is told, not dropped silently."""
    photos(tmp_path, "José P/1.jpg", "Bo/1.jpg", "Bo/2.jpg", "Bo/deeper/3.jpg", "empty/x.txt", ".git/4.jpg")
    found = find_people(tmp_path)
    assert ids(found) == {"Bo": ["1.jpg", "2.jpg"], "Jos__P": ["1.jpg"]}
    assert {path.name for path in found.skipped} == {"deeper", "empty", "x.txt"}


@pytest.mark.parametrize(
    ("names", "subject_id", "why"),
    [
        (["a/1.jpg", "1.jpg"], None, "holds photos and folders"),
        (["José/1.jpg", "Jos_/1.jpg"], None, "would both be the subject Jos_"),
        (["a/1.jpg", "b/1.jpg"], "S-1", "names one person"),
        (["a/x.txt"], None, "holds no photos"),
        (["x.txt"], None, "holds no photos"),
    ],
)
def test_unclear_photos(tmp_path: Path, names: list[str], subject_id: str | None, why: str) -> None:
    """Where it is not clear whose photos these are, nothing is guessed."""
    with pytest.raises(UnclearPhotosError, match=why):
        find_people(photos(tmp_path, *names), subject_id=subject_id)


def test_request_id_is_that_of_the_request() -> None:
    """The same request has the same id whenever it is made; any difference gives another."""
    terms = Terms(watchlists=["b", "a"], expire_time=NOW, labels={"k": "v"})
    same = Terms(watchlists=["a", "b"], expire_time=NOW.astimezone(), labels={"k": "v"})
    first = request_id("S", b"photo", terms)
    assert first == request_id("S", b"photo", same) == str(uuid.UUID(first))
    others = {
        request_id("S2", b"photo", terms),
        request_id("S", b"other", terms),
        request_id("S", b"photo", Terms(watchlists=["a", "b"], labels={"k": "v"})),
        request_id("S", b"photo", Terms(watchlists=["a"], expire_time=NOW, labels={"k": "v"})),
        request_id("S", b"photo", Terms(watchlists=["a", "b"], expire_time=NOW)),
        request_id("S", b"photo", Terms(["a", "b"], expire_time=NOW, labels={"k": "v"}, face_choice="largest")),
        request_id("S", b"photo", terms, generation=1),
    }
    assert len(others | {first}) == 8
    assert request_for("S", b"photo", terms) == request_for("S", b"photo", same)
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


def test_document_of_an_answer() -> None:
    """Numbers are numbers with six digits, enums are names, absent messages are absent, empty fields are there."""
    answer = gerbang.IdentifyResponse(
        hit=True,
        revision=2**40,
        candidates=[gerbang.Candidate(subject_id="S", similarity=0.71234567, labels={"hit": "1"})],
        probe_face=gerbang.Face(quality=gerbang.Quality(yaw=-12.3456789)),
    )
    content = document(answer)
    assert content["revision"] == 2**40
    assert content["candidates"][0]["similarity"] == 0.712346
    assert content["candidates"][0]["labels"] == {"hit": "1"}
    assert content["candidates"][0]["watchlists"] == []
    assert content["probe_face"]["quality"]["yaw"] == -12.3457
    assert "error" not in content
    assert document(gerbang.VerifyResponse())["match"] is False
    assert (
        document(gerbang.Watchlist(direction=gerbang.Direction.DIRECTION_ARRIVAL))["direction"] == "DIRECTION_ARRIVAL"
    )
    assert "expire_time" not in document(gerbang.Subject())


def test_failures_are_told() -> None:
    """A reason comes first; a server that is not there is named in a short line; advice says what to do."""
    gone = gerbang.Unavailable(
        "h:1 is unavailable: failed to connect to all addresses; last error: UNKNOWN: ipv4:1.2.3.4:1: Failed to "
        "connect to remote host: Connection refused",
        code=grpc.StatusCode.UNAVAILABLE,
    )
    assert failure_line(gone) == "h:1 can't be reached: Connection refused"
    assert "gerbang serve" in advice(gone)
    assert may_succeed_later(gone)
    none = gerbang.NoFace("no face was found", reason="NO_FACE", code=grpc.StatusCode.FAILED_PRECONDITION)
    assert failure_line(none) == "NO_FACE: no face was found"
    assert advice(none)
    assert not may_succeed_later(none)
    assert error_document(none)["code"] == "FAILED_PRECONDITION"


def test_advice_is_for_reasons_that_there_are() -> None:
    """No advice is kept for a reason that nobody gives any more."""
    reasons = {kind.reason for kind in vars(domain).values() if isinstance(kind, type) and hasattr(kind, "reason")}
    assert set(_BY_REASON) <= reasons | {"DELETED_SINCE"}


def test_text_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences and markup in names and labels are shown, not obeyed."""
    assert printable("a\x1b[31m\nb") == r"a\x1b[31m\nb"
    Output(as_json=False).table(("x",), [("[red]\x1b]0;title\x07",)])
    shown = capsys.readouterr().out
    assert r"[red]\x1b]0;title\x07" in shown


def test_piped_tables_are_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    """What goes to another program stays on its line, however long it is."""
    Output(as_json=False).table(("a", "b"), [("x" * 300, "y" * 300)])
    assert f"{'x' * 300}  {'y' * 300}" in capsys.readouterr().out


def test_changes() -> None:
    """An update changes what is given, clears what is told to be cleared, and refuses both at once or nothing."""
    cleared: dict[str, tuple[str, Any]] = {"no_labels": ("labels", {})}
    given: dict[str, Any] = {"title": "", "action": None, "labels": {}, "no_labels": False}
    assert changes(given, cleared) == {"title": ""}
    assert changes({**given, "no_labels": True}, cleared) == {"title": "", "labels": {}}
    with pytest.raises(click.UsageError, match="--no-labels"):
        changes({**given, "labels": {"a": "b"}, "no_labels": True}, cleared)
    with pytest.raises(click.UsageError, match="nothing to change"):
        changes({"title": None, "no_labels": False}, cleared)


def test_option_values() -> None:
    """Times without an offset are UTC; labels split at the first `=`."""
    assert Moment().convert("2026-03-01T12:00", None, None) == NOW
    assert Moment().convert("2026-03-01T19:00+07:00", None, None) == NOW
    assert Label().convert("a=b=c", None, None) == ("a", "b=c")
    for kind, text in ((Moment(), "tomorrow"), (Label(), "a"), (Label(), "=a")):
        with pytest.raises(click.BadParameter):
            kind.convert(text, None, None)


def test_the_demo_knows_the_truth() -> None:
    """Only lists of the direction, in force at that moment, must be hit; the gravest action counts."""
    truth = Truth(entries(NOW), NOW)
    assert truth.lists(Part.EXIT_BANNED, "departure") == ["cegah"]
    assert truth.lists(Part.EXIT_BANNED, "arrival") == []
    assert truth.lists(Part.EXIT_BAN_OVER, "departure") == truth.lists(Part.EXIT_BAN_AHEAD, "departure") == []
    assert gravest(truth.lists(Part.WANTED_AND_BANNED, "departure")) == "defer_departure"
    assert gravest(truth.lists(Part.WANTED_AND_BANNED, "arrival")) == "refer_to_officer"
    truth.over(Part.EXIT_BANNED)
    truth.put(Part.RESIDENT, Entry(("tangkal",), expire_time=NOW + timedelta(days=1)))
    assert truth.lists(Part.EXIT_BANNED, "departure") == []
    assert truth.lists(Part.RESIDENT, "arrival") == ["tangkal"]
