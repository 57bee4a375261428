"""The harness itself would notice: each promise is broken here once, without a server where that can be."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import grpc
import pytest

from crash.auditing import Auditor
from crash.failures import check_failure
from crash.model import Person, Truth, Wrong
from crash.searching import check_found, search
from crash.sending import Sending
from crash.templates import TEMPLATES, template
from gerbang import EnrollRequest, WatchlistClient
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1.subject_pb2 import Subject, TemplateInfo
from gerbang_service.audit.files import log_files
from gerbang_service.domain import errors
from gerbang_service.rpc.errors import to_status
from running import RunningServer

ONE, OTHER = Person(1, 3, ("cegah",), "a"), Person(2, 3, ("cegah",), "b")


def stored(name: str, person: Person) -> Subject:
    """Return a person as a server lists it."""
    return Subject(
        subject_id=name,
        watchlists=person.lists,
        labels=person.labels,
        templates=[TemplateInfo(template_id=str(number)) for number in range(person.templates)],
    )


def test_model_of_the_truth_sees_what_is_wrong() -> None:
    """Somebody lost, come back, by half or twice changed, and a revision that went back."""

    def truth() -> Truth:
        made = Truth()
        made.attempt("p", ONE)
        made.acknowledge("p", 5)
        return made

    truth().compare([stored("p", ONE)], [], 5)
    with pytest.raises(Wrong, match="is None"):
        truth().compare([], [], 5)
    with pytest.raises(Wrong, match="must be one of"):
        truth().compare([stored("p", Person(1, 2, ("cegah",), "a"))], [], 5)
    with pytest.raises(Wrong, match="must be one of"):
        truth().compare([stored("p", ONE), stored("q", OTHER)], [], 6)
    with pytest.raises(Wrong, match="is before 5"):
        truth().compare([stored("p", ONE)], [], 4)
    unsure = truth()
    unsure.attempt("p", None)
    unsure.compare([stored("p", ONE)], [], 5)
    deleted = truth()
    deleted.attempt("p", None)
    deleted.acknowledge("p", 6)
    with pytest.raises(Wrong, match="must be one of"):
        deleted.compare([stored("p", ONE)], [], 6)


def test_a_revision_is_acknowledged_once_and_who_was_replaced_is_gone() -> None:
    """One revision for two changes is wrong, and the templates of a replaced or deleted person are looked for."""
    truth = Truth()
    for revision, state in enumerate((ONE, Person(1, 3, ("cegah",), "c"), OTHER, None), 1):
        truth.attempt("p", state)
        truth.acknowledge("p", revision, replayed=revision == 2)
    assert (truth.gone, truth.replayed, truth.acknowledged) == ([1, 2], {2}, 4)
    truth.attempt("q", ONE)
    with pytest.raises(Wrong, match="revision 3 is that of q and of p"):
        truth.acknowledge("q", 3)


def test_a_search_must_find_exactly_whom_it_should() -> None:
    """Nobody, somebody else, an older state of somebody and an older revision are wrong."""

    def answer(*people: tuple[str, Person], revision: int = 5) -> pb.IdentifyResponse:
        found = [pb.Candidate(subject_id=name, watchlists=each.lists, labels=each.labels) for name, each in people]
        return pb.IdentifyResponse(candidates=found, revision=revision)

    request = search(template(1), 5)
    check_found(answer(), request, {})
    check_found(answer(("p", ONE), revision=6), request, {"p": ONE})
    for wrong in (answer(), answer(("p", OTHER)), answer(("q", ONE)), answer(("p", ONE), ("q", OTHER))):
        with pytest.raises(Wrong, match="was found"):
            check_found(wrong, request, {"p": ONE})
    with pytest.raises(Wrong, match="answered from 4"):
        check_found(answer(revision=4), request, {})
    with pytest.raises(Wrong, match="failed"):
        check_found(pb.IdentifyResponse(error=to_status(errors.Overloaded("busy", retry_after_s=1))), request, {})


class Failed(grpc.RpcError):
    """A call that failed, as gRPC raises it."""

    def __init__(self, code: grpc.StatusCode, reason: Exception | None = None) -> None:
        self._code, self._status = code, None if reason is None else to_status(reason)

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "" if self._status is None else self._status.message

    def trailing_metadata(self) -> Any:
        return () if self._status is None else (("grpc-status-details-bin", self._status.SerializeToString()),)


def test_only_what_was_killed_may_fail() -> None:
    """A healthy server fails no call but when it is too busy, and one that dies gives none of the other reasons."""
    unavailable = grpc.StatusCode.UNAVAILABLE
    busy = Failed(grpc.StatusCode.RESOURCE_EXHAUSTED, errors.Overloaded("busy", retry_after_s=1))
    for excused in (busy, Failed(unavailable), Failed(unavailable, errors.ShuttingDown("bye"))):
        check_failure(excused, killed=True)
    check_failure(busy, killed=False)
    with pytest.raises(Wrong, match="nothing had been killed"):
        check_failure(Failed(unavailable), killed=False)
    for killed in (True, False):
        with pytest.raises(Wrong, match="STORE_UNAVAILABLE"):
            check_failure(Failed(unavailable, errors.StoreUnavailable("the disk")), killed=killed)
        with pytest.raises(Wrong, match="INTERNAL"):
            check_failure(Failed(grpc.StatusCode.INTERNAL), killed=killed)


def test_a_stream_that_nobody_answers_lets_its_sender_end() -> None:
    """The thread that takes items ends with the stream, while it waits for a place too, and nothing is made after."""
    made: list[EnrollRequest] = []

    def make() -> EnrollRequest:
        made.append(EnrollRequest())
        if len(made) == 16:
            full.set()
        return made[-1]

    full = threading.Event()
    sending = Sending(make, 1000)
    sender = threading.Thread(target=list, args=(iter(sending),), daemon=True)
    sender.start()
    assert full.wait(10)
    sending.end()
    sender.join(10)
    assert not sender.is_alive()
    assert len(made) == 16


def test_what_the_audit_log_lacks_is_wrong(data: Path) -> None:
    """A revision without a record, and a log that does not verify, are noticed; a repeat's may be told to have none."""
    truth = Truth()
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        truth.attempt("cegah", "cegah")
        truth.acknowledge("cegah", office.create_watchlist("cegah").revision)
    auditor = Auditor(data)
    auditor.check(truth)
    truth.attempt("p", ONE)
    truth.acknowledge("p", 2, replayed=True)
    with pytest.raises(Wrong, match="not in the audit log"):
        auditor.check(truth)
    (log,) = log_files(data / "audit")
    log.write_bytes(log.read_bytes().replace(b"CreateWatchlist", b"UpdateWatchlist"))
    with pytest.raises(Wrong, match="does not verify"):
        auditor.check(truth)
