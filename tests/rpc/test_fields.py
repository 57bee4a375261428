"""Every field is checked: what is out of range is FIELD_INVALID, names the field, and changes nothing."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any, cast

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from gerbang import EnrollRequest, Sample
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import sample_pb2
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.plan_pb2 import PLAN_BOTH, PLAN_EXACT, PLAN_GRAPH, PLAN_SWEEP
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist
from gerbang_service.rpc.pages import page_token
from rpc.wire import TIMEOUT_S, Failure, Wire, failure, template
from running import RunningServer

NAN, INFINITY = float("nan"), float("inf")
UNKNOWN = cast("Any", 99)  # an enum value that no one knows; proto3 carries it
LONG = "x" * 257
LISTS_65 = [f"list-{number}" for number in range(65)]
LABELS_33 = {f"label-{number}": "" for number in range(33)}


@pytest.fixture(scope="module")
def wire(templates_server: RunningServer) -> Iterator[Wire]:
    """The server of templates, with a list and a subject that must not change."""
    with Wire(templates_server.address) as opened:
        opened.watchlists.CreateWatchlist(office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id="fields")))
        opened.matching.Enroll(
            EnrollRequest(
                subject=Subject(subject_id="fields-1", watchlists=["fields"], valid_from=Timestamp(seconds=1000)),
                samples=[template(400)],
            ),
            timeout=TIMEOUT_S,
        )
        yield opened


def identify(**fields: Any) -> Callable[[Wire], object]:
    request = pb.IdentifyRequest(**{"probe": template(1), **fields})
    return lambda wire: wire.matching.Identify(request, timeout=TIMEOUT_S)


def verify(**fields: Any) -> Callable[[Wire], object]:
    request = pb.VerifyRequest(**{"probe": template(1), **fields})
    return lambda wire: wire.matching.Verify(request, timeout=TIMEOUT_S)


def enroll(**fields: Any) -> Callable[[Wire], object]:
    request = EnrollRequest(**{"samples": [template(1)], **fields})
    return lambda wire: wire.matching.Enroll(request, timeout=TIMEOUT_S)


def batch(count: int) -> Callable[[Wire], object]:
    request = pb.IdentifyBatchRequest(requests=[pb.IdentifyRequest(probe=template(1))] * count)
    return lambda wire: wire.matching.IdentifyBatch(request, timeout=TIMEOUT_S)


def extract(**fields: Any) -> Callable[[Wire], object]:
    request = pb.ExtractRequest(image=b"image", **fields)
    return lambda wire: wire.matching.Extract(request, timeout=TIMEOUT_S)


def office(rpc: str, request: Any) -> Callable[[Wire], object]:
    return lambda wire: getattr(wire.watchlists, rpc)(request, timeout=TIMEOUT_S)


def create(**fields: Any) -> Callable[[Wire], object]:
    watchlist = Watchlist(**{"watchlist_id": "made", **fields})
    return office("CreateWatchlist", office_pb.CreateWatchlistRequest(watchlist=watchlist))


def update_subject(mask: list[str], **fields: Any) -> Callable[[Wire], object]:
    subject = Subject(**{"subject_id": "fields-1", **fields})
    request = office_pb.UpdateSubjectRequest(subject=subject, update_mask=FieldMask(paths=mask))
    return office("UpdateSubject", request)


def update_watchlist(mask: list[str], **fields: Any) -> Callable[[Wire], object]:
    watchlist = Watchlist(**{"watchlist_id": "fields", **fields})
    request = office_pb.UpdateWatchlistRequest(watchlist=watchlist, update_mask=FieldMask(paths=mask))
    return office("UpdateWatchlist", request)


def changed_by(**safeguards: Any) -> office_pb.UpdateSubjectRequest:
    return office_pb.UpdateSubjectRequest(
        subject=Subject(subject_id="fields-1"), update_mask=FieldMask(paths=["labels"]), **safeguards
    )


def new_list(**safeguards: Any) -> office_pb.CreateWatchlistRequest:
    return office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id="made"), **safeguards)


def list_subjects(**fields: Any) -> Callable[[Wire], object]:
    return office("ListSubjects", office_pb.ListSubjectsRequest(**fields))


def delete_template(template_id: str) -> Callable[[Wire], object]:
    request = office_pb.DeleteTemplateRequest(subject_id="fields-1", template_id=template_id)
    return office("DeleteTemplate", request)


def measure_recall(plans: list[Any]) -> Callable[[Wire], object]:
    return office("MeasureRecall", office_pb.MeasureRecallRequest(sample=1, plans=plans))


# (the field that must be named, the call)
WRONG: list[tuple[str, Callable[[Wire], object]]] = [
    ("probe", identify(probe=None)),
    ("probe", identify(probe=Sample(face_choice=sample_pb2.FACE_CHOICE_LARGEST))),
    ("probe.face_choice", identify(probe=Sample(image=b"image", face_choice=UNKNOWN))),
    ("watchlists", identify(watchlists=[""])),
    ("watchlists", identify(watchlists=["fields", "no good"])),
    ("watchlists", identify(watchlists=["fields"] * 65)),
    ("direction", identify(direction=UNKNOWN)),
    ("max_candidates", identify(max_candidates=101)),
    ("max_candidates", identify(max_candidates=-1)),
    ("threshold", identify(threshold=NAN)),
    ("threshold", identify(threshold=2)),
    ("threshold", identify(threshold=-1.001)),
    ("threshold", identify(threshold=INFINITY)),
    ("plan", identify(plan=UNKNOWN)),
    ("plan", identify(plan=PLAN_GRAPH)),
    ("min_revision", identify(min_revision=-1)),
    ("probe", verify(probe=None, subject_id="fields-1")),
    ("reference", verify()),
    ("sample", verify(sample=Sample())),
    ("subject_id", verify(subject_id="")),
    ("subject_id", verify(subject_id="no good")),
    ("threshold", verify(subject_id="fields-1", threshold=NAN)),
    ("min_revision", verify(subject_id="fields-1", min_revision=-1)),
    ("threshold", verify(subject_id="fields-1", threshold=1.001)),
    ("sample.face_choice", verify(sample=Sample(image=b"image", face_choice=UNKNOWN))),
    ("samples", enroll(samples=[])),
    ("samples", enroll(samples=[template(1)] * 21)),
    ("samples[1]", enroll(samples=[template(1), Sample()])),
    ("samples[0].face_choice", enroll(samples=[Sample(image=b"image", face_choice=UNKNOWN)])),
    ("subject.subject_id", enroll(subject=Subject(subject_id="no good"))),
    ("subject.subject_id", enroll(subject=Subject(subject_id="x" * 129))),
    ("subject.subject_id", enroll(subject=Subject(subject_id="na\u00efve"))),
    ("subject.subject_id", enroll(subject=Subject(subject_id="line\n"))),
    ("subject.subject_id", enroll(subject=Subject(subject_id="../up"))),
    ("subject.watchlists", enroll(subject=Subject(watchlists=[""]))),
    ("subject.watchlists", enroll(subject=Subject(watchlists=LISTS_65))),
    ("subject.watchlists", enroll(subject=Subject(watchlists=["fields"] * 65))),
    ("subject.labels", enroll(subject=Subject(labels=LABELS_33))),
    ("subject.labels", enroll(subject=Subject(labels={LONG: ""}))),
    ("subject.labels", enroll(subject=Subject(labels={"key": LONG}))),
    ("subject.labels", enroll(subject=Subject(labels={"": "value"}))),
    (
        "subject.expire_time",
        enroll(subject=Subject(valid_from=Timestamp(seconds=2), expire_time=Timestamp(seconds=1))),
    ),
    (
        "subject.expire_time",
        enroll(subject=Subject(valid_from=Timestamp(seconds=2), expire_time=Timestamp(seconds=2))),
    ),
    ("subject.valid_from", enroll(subject=Subject(valid_from=Timestamp(nanos=-1)))),
    ("subject.valid_from", enroll(subject=Subject(valid_from=Timestamp(nanos=1_000_000_000)))),
    ("subject.expire_time", enroll(subject=Subject(expire_time=Timestamp(seconds=253_402_300_799)))),
    ("subject.expire_time", enroll(subject=Subject(expire_time=Timestamp(seconds=2**63 - 1)))),
    ("request_id", enroll(request_id="not a UUID")),
    ("on_existing", enroll(on_existing=UNKNOWN)),
    ("requests", batch(0)),
    ("requests", batch(257)),
    ("face_choice", extract(face_choice=UNKNOWN)),
    ("watchlist.watchlist_id", create(watchlist_id="")),
    ("watchlist.watchlist_id", create(watchlist_id="no good")),
    ("watchlist.watchlist_id", office("CreateWatchlist", office_pb.CreateWatchlistRequest())),
    ("watchlist.title", create(title=LONG)),
    ("watchlist.direction", create(direction=UNKNOWN)),
    ("watchlist.action", create(action=UNKNOWN)),
    ("watchlist.threshold", create(threshold=NAN)),
    ("watchlist.threshold", create(threshold=-2)),
    ("watchlist.labels", create(labels=LABELS_33)),
    ("watchlist.labels", create(labels={"key": LONG})),
    ("update_mask", update_watchlist(["title", "watchlist_id"])),
    ("update_mask", update_watchlist(["subject_count"])),
    ("watchlist.threshold", update_watchlist(["threshold"], threshold=INFINITY)),
    ("update_mask", update_watchlist([], title="forgot the mask")),
    ("update_mask", update_watchlist(["*", "title"])),
    ("update_mask", update_subject([], labels={"forgot": "the mask"})),
    ("update_mask", update_subject(["*", "labels"])),
    ("update_mask", update_subject(["subject_id"])),
    ("update_mask", update_subject(["templates"])),
    ("update_mask", update_subject(["labels"] * 5)),
    ("update_mask", update_watchlist(["title"] * 8)),
    ("subject.expire_time", update_subject(["expire_time"], expire_time=Timestamp(seconds=999))),
    ("subject.valid_from", update_subject(["valid_from"], valid_from=Timestamp(seconds=2**62))),
    ("subject.labels", update_subject(["labels"], labels=LABELS_33)),
    ("subject.watchlists", update_subject(["watchlists"], watchlists=["no good"])),
    ("subject.subject_id", update_subject([], subject_id="")),
    ("subject.subject_id", office("UpdateSubject", office_pb.UpdateSubjectRequest(add_watchlists=["fields"]))),
    ("request_id", office("UpdateSubject", changed_by(request_id="no uuid"))),
    ("note", office("UpdateSubject", changed_by(note="n" * 257))),
    ("proposal_id", office("GetProposal", office_pb.GetProposalRequest(proposal_id="-1"))),
    ("proposal_id", office("ConfirmProposal", office_pb.ConfirmProposalRequest())),
    ("proposal_id", office("WithdrawProposal", office_pb.WithdrawProposalRequest(proposal_id="1" * 19))),
    ("request_id", office("ConfirmProposal", office_pb.ConfirmProposalRequest(proposal_id="1", request_id="x"))),
    ("page_size", office("ListProposals", office_pb.ListProposalsRequest(page_size=1001))),
    ("page_token", office("ListProposals", office_pb.ListProposalsRequest(page_token="bm8="))),
    ("watchlist", office("ListProposals", office_pb.ListProposalsRequest(watchlist="no good"))),
    ("request_id", office("CreateWatchlist", new_list(request_id="no uuid"))),
    ("request_id", office("DeleteSubject", office_pb.DeleteSubjectRequest(subject_id="fields-1", request_id="x"))),
    ("expected_revision", office("UpdateSubject", changed_by(expected_revision=-1))),
    ("expected_revision", enroll(expected_revision=1)),
    ("expected_revision", enroll(expected_revision=-1, on_existing=pb.ON_EXISTING_ADD)),
    ("page_size", office("ListWatchlists", office_pb.ListWatchlistsRequest(page_size=-1))),
    ("page_size", office("ListWatchlists", office_pb.ListWatchlistsRequest(page_size=1001))),
    ("page_token", office("ListWatchlists", office_pb.ListWatchlistsRequest(page_token="made up!"))),
    ("page_size", list_subjects(page_size=-1)),
    ("page_size", list_subjects(page_size=1001)),
    ("expires_before", list_subjects(expires_before=Timestamp(seconds=10**10))),
    ("labels", list_subjects(labels={"": "x"})),
    ("labels", list_subjects(labels={"key": LONG})),
    ("labels", list_subjects(labels=LABELS_33)),
    ("page_token", list_subjects(page_token="made up!")),
    ("page_token", list_subjects(page_token="\u00fc")),
    ("page_token", list_subjects(page_token="/////w==")),
    ("page_token", list_subjects(page_token=page_token("no id"))),
    ("page_token", list_subjects(page_token=page_token("x" * 129))),
    ("page_token", list_subjects(page_token=page_token("x" * 300_000))),
    ("watchlist", list_subjects(watchlist="no good")),
    ("watchlist_id", office("GetWatchlist", office_pb.GetWatchlistRequest())),
    ("watchlist_id", office("DeleteWatchlist", office_pb.DeleteWatchlistRequest(watchlist_id="no good"))),
    ("subject_id", office("GetSubject", office_pb.GetSubjectRequest(subject_id="x" * 129))),
    ("subject_id", office("DeleteSubject", office_pb.DeleteSubjectRequest())),
    ("subject_id", office("DeleteTemplate", office_pb.DeleteTemplateRequest(template_id="1"))),
    ("template_id", delete_template("")),
    ("template_id", delete_template("-1")),
    ("template_id", delete_template("one")),
    ("template_id", delete_template("9" * 30)),
    ("template_id", delete_template("\u0663")),
    ("plans", measure_recall([PLAN_EXACT] * 2)),
    ("plans", measure_recall([PLAN_EXACT] * 3000)),
    ("plans", measure_recall([0])),
]


def expect_violation(failed: Failure, field: str) -> None:
    """Check that a failure is FIELD_INVALID and names the field in all the places where clients look."""
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID"), failed
    assert failed.domain == "gerbang"
    assert failed.metadata["field"] == field
    assert list(failed.violations) == [field]
    assert failed.violations[field]
    assert failed.message.startswith(field)


@pytest.mark.parametrize(("field", "call"), WRONG, ids=[f"{index}-{field}" for index, (field, _) in enumerate(WRONG)])
def test_wrong_field_is_named_and_nothing_changes(wire: Wire, field: str, call: Callable[[Wire], object]) -> None:
    """A field that is missing, malformed or out of range is FIELD_INVALID, names itself, and changes nothing."""
    before = wire.watchlists.GetServerInfo(office_pb.GetServerInfoRequest(), timeout=TIMEOUT_S).revision
    expect_violation(failure(lambda: call(wire)), field)
    assert wire.watchlists.GetServerInfo(office_pb.GetServerInfoRequest(), timeout=TIMEOUT_S).revision == before


@pytest.mark.parametrize(
    "call",
    [
        identify(max_candidates=100, threshold=-1, min_revision=0),
        identify(max_candidates=0, threshold=1),
        batch(256),
        enroll(samples=[template(2)] * 20, subject=Subject(labels={f"{n}" + "y" * 254: "x" * 256 for n in range(10)})),
        enroll(subject=Subject(subject_id="A-z_0.9:" + "x" * 120)),
        enroll(subject=Subject(valid_from=Timestamp(seconds=1), expire_time=Timestamp(seconds=1, nanos=1))),
        list_subjects(page_size=1000),
        list_subjects(page_token=page_token("x" * 128)),
        identify(watchlists=["fields"] * 64),
        update_subject(["labels"] * 4, labels={"key": ""}),
        measure_recall([PLAN_EXACT, PLAN_SWEEP, PLAN_GRAPH, PLAN_BOTH]),
    ],
)
def test_values_at_the_limits_are_taken(wire: Wire, call: Callable[[Wire], object]) -> None:
    """The largest and smallest values that the contract allows are accepted."""
    assert call(wire)


def test_request_id_used_for_other_content_is_refused(wire: Wire) -> None:
    """A request_id answers its own repeat with the first answer, and other content with FIELD_INVALID."""
    request_id = str(uuid.uuid4())
    first = enroll(request_id=request_id, samples=[template(401)])(wire)
    other = enroll(request_id=request_id, samples=[template(402)])
    assert isinstance(first, pb.EnrollResponse)
    expect_violation(failure(lambda: other(wire)), "request_id")
    for same in (request_id, request_id.upper(), request_id.replace("-", "")):
        repeated = enroll(request_id=same, samples=[template(401)])(wire)
        assert isinstance(repeated, pb.EnrollResponse)
        assert repeated.replayed
        assert repeated.subject == first.subject


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("subject.labels", Subject(subject_id="fields-1", labels={"other": "value"})),
        ("subject.expire_time", Subject(subject_id="fields-1", expire_time=Timestamp(seconds=5000))),
        ("subject.valid_from", Subject(subject_id="fields-1", valid_from=Timestamp(seconds=1001))),
        # The first moment of 1970 is a time as any other.
        ("subject.expire_time", Subject(subject_id="fields-1", expire_time=Timestamp())),
        ("subject.valid_from", Subject(subject_id="fields-1", valid_from=Timestamp())),
    ],
)
def test_adding_samples_can_not_change_the_subject_as_well(wire: Wire, field: str, given: Subject) -> None:
    """Enroll with ADD refuses labels or times that differ from those stored."""
    add = enroll(subject=given, samples=[template(403)], on_existing=pb.ON_EXISTING_ADD)
    expect_violation(failure(lambda: add(wire)), field)


def test_subject_has_at_most_100_templates(wire: Wire) -> None:
    """Adding to a subject stops at 100 templates; the call that would pass it adds none of its samples."""
    add = enroll(subject=Subject(subject_id="fields-100"), samples=[template(404)] * 20, on_existing=pb.ON_EXISTING_ADD)
    for _ in range(5):
        add(wire)
    expect_violation(failure(lambda: add(wire)), "samples")
    found = wire.watchlists.GetSubject(office_pb.GetSubjectRequest(subject_id="fields-100"), timeout=TIMEOUT_S)
    assert len(found.subject.templates) == 100


def test_refused_labels_are_not_repeated(wire: Wire, templates_server: RunningServer) -> None:
    """A refused label's text neither comes back in the failure nor goes into the log."""
    secret = "Siti-Rahayu-" * 30
    failed = failure(lambda: enroll(subject=Subject(labels={"name": secret}))(wire))
    assert "Siti" not in str(failed)
    assert "Siti" not in templates_server.stderr
