"""A request for every rpc that the server would answer, or refuse for what it says, but that changes nothing."""

from __future__ import annotations

from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist
from rpc.wire import template

REQUESTS: dict[str, Any] = {
    "Enroll": pb.EnrollRequest(subject=Subject(subject_id="known"), samples=[template(2)]),
    "EnrollStream": pb.EnrollRequest(subject=Subject(subject_id="known"), samples=[template(2)]),
    "Verify": pb.VerifyRequest(probe=template(1), subject_id="known"),
    "Identify": pb.IdentifyRequest(probe=template(1)),
    "IdentifyStream": pb.IdentifyRequest(probe=template(1)),
    "IdentifyBatch": pb.IdentifyBatchRequest(requests=[pb.IdentifyRequest(probe=template(1))]),
    "Extract": pb.ExtractRequest(image=b"none"),
    "CreateWatchlist": office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id="w")),
    "GetWatchlist": office_pb.GetWatchlistRequest(watchlist_id="w"),
    "ListWatchlists": office_pb.ListWatchlistsRequest(),
    "UpdateWatchlist": office_pb.UpdateWatchlistRequest(
        watchlist=Watchlist(watchlist_id="nowhere"), update_mask=FieldMask(paths=["*"])
    ),
    "DeleteWatchlist": office_pb.DeleteWatchlistRequest(watchlist_id="nowhere"),
    "GetSubject": office_pb.GetSubjectRequest(subject_id="known"),
    "ListSubjects": office_pb.ListSubjectsRequest(),
    "UpdateSubject": office_pb.UpdateSubjectRequest(
        subject=Subject(subject_id="nobody"), update_mask=FieldMask(paths=["*"])
    ),
    "DeleteSubject": office_pb.DeleteSubjectRequest(subject_id="nobody"),
    "DeleteTemplate": office_pb.DeleteTemplateRequest(subject_id="nobody", template_id="1"),
    "ListProposals": office_pb.ListProposalsRequest(),
    "GetProposal": office_pb.GetProposalRequest(proposal_id="999999"),
    "ConfirmProposal": office_pb.ConfirmProposalRequest(proposal_id="999999"),
    "WithdrawProposal": office_pb.WithdrawProposalRequest(proposal_id="999999"),
    "GetServerInfo": office_pb.GetServerInfoRequest(),
    "MeasureRecall": office_pb.MeasureRecallRequest(sample=1),
}
