"""Calls of every rpc, in order, and what the record of each must say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from crash.templates import samples_of, template
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.plan_pb2 import PLAN_EXACT
from gerbang.v1.sample_pb2 import Sample
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import ACTION_REFUSE_ENTRY, DIRECTION_ARRIVAL, Watchlist

SECRET: Final = "Siti Rahayu"
TITLE: Final = "Persons of interest"
P1: Final = Subject(subject_id="p-1", watchlists=["cegah"], labels={"name": SECRET})
PERSON_1: Final = Subject(subject_id="p-1")
REPEATED: Final = "5b0ef0a2-0a52-4c1c-9a9d-3e6f0a7cf6a1"
NOBODY: Final = Sample(image=b"\xff\xd8 no image at all")


@dataclass(frozen=True)
class Case:
    """A call, and what its record must say."""

    rpc: str
    request: Any
    asked: dict[str, Any]
    answered: dict[str, Any] | None = None
    failed: dict[str, Any] | None = None
    committed: int | None = None


FOUND: Final = {
    "subject_id": "p-1",
    "similarity": 1.0,
    "threshold": 0.5,
    "template_id": "1",
    "watchlists": ["cegah"],
    "action": "refuse_entry",
}
HIT: Final = {
    "decision": "hit",
    "hit": True,
    "candidates": [FOUND],
    "top_similarity": 1.0,
    "threshold": 0.5,
    "plan": "both",
    "gallery_size": 3,
    "revision": 2,
}
# Of the probe and the three templates of p-1.
TOP: Final = pytest.approx(0.0, abs=0.5)
LIST: Final = {"watchlist_id": "cegah"}
PERSON: Final = {"subject_id": "p-1"}
MODEL: Final = {"model": "unspecified"}

# In order: each is made in the state that those before it left.
CASES: Final = (
    Case(
        "CreateWatchlist",
        office_pb.CreateWatchlistRequest(
            watchlist=Watchlist(
                watchlist_id="cegah",
                title=TITLE,
                direction=DIRECTION_ARRIVAL,
                action=ACTION_REFUSE_ENTRY,
                threshold=0.5,
                labels={"office": SECRET},
            )
        ),
        {
            "watchlist_id": "cegah",
            "direction": "arrival",
            "action": "refuse_entry",
            "labels": ["office"],
            "threshold": 0.5,
        },
        {"revision": 1},
        committed=1,
    ),
    Case(
        "Enroll",
        pb.EnrollRequest(subject=P1, samples=samples_of(1)),
        {"subject_id": "p-1", "watchlists": ["cegah"], "labels": ["name"], "samples": ["template"] * 3},
        {"subject_id": "p-1", "watchlists": ["cegah"], "template_ids": ["1", "2", "3"], "revision": 2, **MODEL},
        committed=2,
    ),
    Case(
        "Identify",
        pb.IdentifyRequest(
            probe=template(10), watchlists=["cegah"], direction=DIRECTION_ARRIVAL, threshold=0.5, min_revision=2
        ),
        {
            "sample": "template",
            "watchlists": ["cegah"],
            "direction": "arrival",
            "threshold": 0.5,
            "min_revision": 2,
        },
        HIT | MODEL,
    ),
    Case(
        "Identify",
        pb.IdentifyRequest(probe=template(999), plan=PLAN_EXACT, max_candidates=7),
        {"sample": "template", "plan": "exact", "max_candidates": 7},
        {
            "decision": "no_hit",
            "hit": False,
            "top_similarity": TOP,
            "threshold": 0.5,
            "plan": "exact",
            "gallery_size": 3,
            "revision": 2,
            **MODEL,
        },
    ),
    Case(
        "Verify",
        pb.VerifyRequest(probe=template(10), subject_id="p-1", threshold=0.25),
        {"sample": "template", "subject_id": "p-1", "threshold": 0.25},
        {"match": True, "similarity": 1.0, "threshold": 0.25, "template_id": "1", "revision": 2, **MODEL},
    ),
    Case(
        "Verify",
        pb.VerifyRequest(probe=template(10), sample=template(10)),
        {"sample": "template", "reference": "template"},
        {"match": True, "similarity": 1.0, "threshold": 0.5, **MODEL},
    ),
    Case(
        "Extract",
        pb.ExtractRequest(image=NOBODY.image),
        {"sample": "image"},
        failed={"status": "FAILED_PRECONDITION", "reason": "NO_FACE_PACK"},
    ),
    Case(
        "Enroll",
        pb.EnrollRequest(subject=P1, samples=[template(10)], allow_different=True),
        {
            "subject_id": "p-1",
            "watchlists": ["cegah"],
            "labels": ["name"],
            "samples": ["template"],
            "allow_different": True,
        },
        failed={"status": "ALREADY_EXISTS", "reason": "SUBJECT_EXISTS"},
    ),
    Case(
        "Enroll",
        pb.EnrollRequest(subject=Subject(subject_id=SECRET, watchlists=[SECRET])),
        {"subject_id": "(no id)", "watchlists": ["(no id)"], "samples": []},
        failed={"status": "INVALID_ARGUMENT", "reason": "FIELD_INVALID", "field": "samples"},
    ),
    Case(
        "Enroll",
        pb.EnrollRequest(subject=Subject(subject_id="p-2"), samples=[template(10)]),
        {"subject_id": "p-2", "samples": ["template"]},
        {
            "subject_id": "p-2",
            "watchlists": [],
            "template_ids": ["4"],
            "duplicates": [{**{name: FOUND[name] for name in FOUND if name != "action"}, "watchlists": []}],
            "revision": 3,
            **MODEL,
        },
        committed=3,
    ),
    Case("ListProposals", office_pb.ListProposalsRequest(watchlist="cegah"), {"watchlist": "cegah"}, {"proposals": []}),
    *(
        Case(
            rpc,
            request,
            {"proposal_id": "7"},
            failed={"status": "NOT_FOUND", "reason": "PROPOSAL_NOT_FOUND", "proposal_id": "7"},
        )
        for rpc, request in (
            ("GetProposal", office_pb.GetProposalRequest(proposal_id="7")),
            ("ConfirmProposal", office_pb.ConfirmProposalRequest(proposal_id="7")),
            ("WithdrawProposal", office_pb.WithdrawProposalRequest(proposal_id="7")),
        )
    ),
    Case("GetWatchlist", office_pb.GetWatchlistRequest(watchlist_id="cegah"), LIST, LIST),
    Case("ListWatchlists", office_pb.ListWatchlistsRequest(), {}, {"watchlists": ["cegah"]}),
    Case(
        "UpdateWatchlist",
        office_pb.UpdateWatchlistRequest(
            watchlist=Watchlist(watchlist_id="cegah", title=SECRET, threshold=0.6),
            update_mask=FieldMask(paths=["title", "threshold"]),
        ),
        {
            "watchlist_id": "cegah",
            "threshold": 0.60000002,
            "fields": ["title", "threshold"],
        },
        {"revision": 4},
        committed=4,
    ),
    Case("GetSubject", office_pb.GetSubjectRequest(subject_id="p-1"), PERSON, PERSON),
    Case(
        "GetSubject",
        office_pb.GetSubjectRequest(subject_id="p-9"),
        {"subject_id": "p-9"},
        failed={"status": "NOT_FOUND", "reason": "SUBJECT_NOT_FOUND"},
    ),
    Case(
        "ListSubjects",
        office_pb.ListSubjectsRequest(page_size=5, watchlist="cegah"),
        {"watchlist": "cegah", "page_size": 5},
        {"subjects": ["p-1"]},
    ),
    Case(
        "ListSubjects",
        office_pb.ListSubjectsRequest(expires_before=Timestamp(seconds=1_800_000_000), labels={"name": SECRET}),
        {"expires_before": "2027-01-15T08:00:00Z", "labels": ["name"]},
        {"subjects": []},
    ),
    Case(
        "UpdateSubject",
        office_pb.UpdateSubjectRequest(
            subject=Subject(subject_id="p-1", labels={"alias": SECRET}, expire_time=Timestamp(seconds=4_102_444_800)),
            update_mask=FieldMask(paths=["labels", "expire_time"]),
        ),
        {
            "subject_id": "p-1",
            "labels": ["alias"],
            "expire_time": "2100-01-01T00:00:00Z",
            "fields": ["labels", "expire_time"],
        },
        {"watchlists": ["cegah"], "revision": 5},
        committed=5,
    ),
    Case(
        "UpdateSubject",
        office_pb.UpdateSubjectRequest(
            subject=PERSON_1, remove_watchlists=["cegah"], request_id=REPEATED, expected_revision=5
        ),
        {
            "subject_id": "p-1",
            "remove_watchlists": ["cegah"],
            "repeat_id": REPEATED,
            "expected_revision": 5,
        },
        {"watchlists": [], "removed": ["cegah"], "revision": 6},
        committed=6,
    ),
    Case(
        "UpdateSubject",
        office_pb.UpdateSubjectRequest(subject=PERSON_1, add_watchlists=["cegah"], expected_revision=5),
        {"subject_id": "p-1", "add_watchlists": ["cegah"], "expected_revision": 5},
        failed={"status": "ABORTED", "reason": "REVISION_CONFLICT"},
    ),
    Case(
        "UpdateSubject",
        office_pb.UpdateSubjectRequest(subject=PERSON_1, add_watchlists=["cegah"]),
        {"subject_id": "p-1", "add_watchlists": ["cegah"]},
        {"watchlists": ["cegah"], "added": ["cegah"], "revision": 7},
        committed=7,
    ),
    Case(
        "DeleteTemplate",
        office_pb.DeleteTemplateRequest(subject_id="p-1", template_id="3"),
        {"subject_id": "p-1", "template_id": "3"},
        {"revision": 8},
        committed=8,
    ),
    Case(
        "DeleteSubject",
        office_pb.DeleteSubjectRequest(subject_id="p-2"),
        {"subject_id": "p-2"},
        {"revision": 9},
        None,
        9,
    ),
    Case("GetServerInfo", office_pb.GetServerInfoRequest(), {}, {"revision": 9}),
    Case(
        "MeasureRecall",
        office_pb.MeasureRecallRequest(sample=2, similarities=[0.5], plans=[PLAN_EXACT]),
        {"sample": 2},
        None,
    ),
    Case(
        "DeleteWatchlist",
        office_pb.DeleteWatchlistRequest(watchlist_id="cegah", force=True),
        {"watchlist_id": "cegah", "force": True},
        {"revision": 10},
        committed=10,
    ),
)
