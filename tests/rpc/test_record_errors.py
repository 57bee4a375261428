"""Every row of the error table about subjects, watchlists and revisions is caused over the wire."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from gerbang import EnrollRequest, GateClient, RevisionNotReached, Sample
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist
from pictures import photo
from rpc.contract import expect
from rpc.wire import TIMEOUT_S, Wire, failure, template
from running import RunningServer


@pytest.mark.parametrize(
    "call",
    [
        lambda wire: wire.watchlists.GetSubject(office_pb.GetSubjectRequest(subject_id="nobody")),
        lambda wire: wire.watchlists.UpdateSubject(
            office_pb.UpdateSubjectRequest(subject=Subject(subject_id="nobody"), update_mask=FieldMask(paths=["*"]))
        ),
        lambda wire: wire.watchlists.DeleteSubject(office_pb.DeleteSubjectRequest(subject_id="nobody")),
        lambda wire: wire.watchlists.DeleteTemplate(
            office_pb.DeleteTemplateRequest(subject_id="nobody", template_id="1")
        ),
        lambda wire: wire.matching.Verify(pb.VerifyRequest(probe=template(1), subject_id="nobody")),
    ],
    ids=["GetSubject", "UpdateSubject", "DeleteSubject", "DeleteTemplate", "Verify"],
)
def test_unknown_subject_is_subject_not_found(bare: Wire, call: Callable[[Wire], object]) -> None:
    """Every call that names a subject that is not there fails with SUBJECT_NOT_FOUND and the id."""
    expect(failure(lambda: call(bare)), "SUBJECT_NOT_FOUND", subject_id="nobody")


@pytest.mark.parametrize(
    "call",
    [
        lambda wire: wire.watchlists.GetWatchlist(office_pb.GetWatchlistRequest(watchlist_id="nowhere")),
        lambda wire: wire.watchlists.UpdateWatchlist(
            office_pb.UpdateWatchlistRequest(
                watchlist=Watchlist(watchlist_id="nowhere"), update_mask=FieldMask(paths=["*"])
            )
        ),
        lambda wire: wire.watchlists.DeleteWatchlist(office_pb.DeleteWatchlistRequest(watchlist_id="nowhere")),
        lambda wire: wire.watchlists.ListSubjects(office_pb.ListSubjectsRequest(watchlist="nowhere")),
        lambda wire: wire.matching.Identify(pb.IdentifyRequest(probe=template(1), watchlists=["nowhere"])),
        lambda wire: wire.matching.Enroll(
            EnrollRequest(subject=Subject(watchlists=["nowhere"]), samples=[template(1)])
        ),
    ],
    ids=["GetWatchlist", "UpdateWatchlist", "DeleteWatchlist", "ListSubjects", "Identify", "Enroll"],
)
def test_unknown_watchlist_is_watchlist_not_found(bare: Wire, call: Callable[[Wire], object]) -> None:
    """Every call that names a watchlist that is not there fails with WATCHLIST_NOT_FOUND and the id."""
    expect(failure(lambda: call(bare)), "WATCHLIST_NOT_FOUND", watchlist_id="nowhere")


def test_template_that_is_not_the_subjects_is_template_not_found(wire: Wire) -> None:
    """Deleting a template that the subject does not have is TEMPLATE_NOT_FOUND, and deletes nothing."""
    request = office_pb.DeleteTemplateRequest(subject_id="table-1", template_id="987654321")
    failed = failure(lambda: wire.watchlists.DeleteTemplate(request, timeout=TIMEOUT_S))
    expect(failed, "TEMPLATE_NOT_FOUND", subject_id="table-1", template_id="987654321")
    found = wire.watchlists.GetSubject(office_pb.GetSubjectRequest(subject_id="table-1"), timeout=TIMEOUT_S)
    assert len(found.subject.templates) == 1


def test_enrolled_subject_is_subject_exists(wire: Wire) -> None:
    """Enrolling an id that is taken is SUBJECT_EXISTS, and adds nothing."""
    request = EnrollRequest(subject=Subject(subject_id="table-1"), samples=[Sample(image=photo(902))])
    failed = failure(lambda: wire.matching.Enroll(request, timeout=TIMEOUT_S))
    expect(failed, "SUBJECT_EXISTS", subject_id="table-1")
    found = wire.watchlists.GetSubject(office_pb.GetSubjectRequest(subject_id="table-1"), timeout=TIMEOUT_S)
    assert len(found.subject.templates) == 1


def test_created_watchlist_is_watchlist_exists(wire: Wire) -> None:
    """Creating a list whose id is taken is WATCHLIST_EXISTS, and changes nothing."""
    request = office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id="table", title="another"))
    failed = failure(lambda: wire.watchlists.CreateWatchlist(request, timeout=TIMEOUT_S))
    expect(failed, "WATCHLIST_EXISTS", watchlist_id="table")
    found = wire.watchlists.GetWatchlist(office_pb.GetWatchlistRequest(watchlist_id="table"), timeout=TIMEOUT_S)
    assert found.watchlist.title == ""


def test_list_with_subjects_is_watchlist_not_empty(wire: Wire) -> None:
    """Deleting a list with subjects on it, without force, is WATCHLIST_NOT_EMPTY with their number."""
    request = office_pb.DeleteWatchlistRequest(watchlist_id="table")
    failed = failure(lambda: wire.watchlists.DeleteWatchlist(request, timeout=TIMEOUT_S))
    expect(failed, "WATCHLIST_NOT_EMPTY", watchlist_id="table", subjects="1")


def test_subject_without_a_template_can_not_be_verified(bare: Wire) -> None:
    """Verifying against a subject whose last template was deleted is SUBJECT_HAS_NO_TEMPLATE."""
    enrolled = bare.matching.Enroll(
        EnrollRequest(subject=Subject(subject_id="emptied"), samples=[template(50)]), timeout=TIMEOUT_S
    )
    (only,) = enrolled.subject.templates
    bare.watchlists.DeleteTemplate(
        office_pb.DeleteTemplateRequest(subject_id="emptied", template_id=only.template_id), timeout=TIMEOUT_S
    )
    request = pb.VerifyRequest(probe=template(50), subject_id="emptied")
    failed = failure(lambda: bare.matching.Verify(request, timeout=TIMEOUT_S))
    expect(failed, "SUBJECT_HAS_NO_TEMPLATE", subject_id="emptied")


def test_revision_of_the_future_is_not_reached_before_the_deadline(bare: Wire) -> None:
    """A min_revision that does not come is REVISION_NOT_REACHED, told before the call's deadline passes."""
    revision = bare.watchlists.GetServerInfo(office_pb.GetServerInfoRequest(), timeout=TIMEOUT_S).revision
    request = pb.IdentifyRequest(probe=template(1), min_revision=revision + 1_000_000)
    started = time.monotonic()
    failed = failure(lambda: bare.matching.Identify(request, timeout=2))
    expect(failed, "REVISION_NOT_REACHED", min_revision=str(revision + 1_000_000))
    assert int(failed.metadata["revision"]) >= revision
    assert 1 < time.monotonic() - started < 2


def test_a_revision_that_is_not_reached_is_told_through_the_client(templates_server: RunningServer) -> None:
    """The server says that it is not to be asked again: repeats of the client's would end without the reason."""
    with GateClient(templates_server.address) as gate, pytest.raises(RevisionNotReached) as caught:
        gate.identify([1.0] * 16, min_revision=2**40, timeout=2)
    assert caught.value.reason == "REVISION_NOT_REACHED"
