"""The rpcs of WatchlistService that are about changes which wait for a second person: parse, call, map."""

from __future__ import annotations

from typing import Any

from grpc import aio

from gerbang.v1 import watchlist_service_pb2 as pb
from gerbang_service.access import calls
from gerbang_service.asking.proposals import ProposalReads
from gerbang_service.changing.proposals import Confirmed, OfficeProposals
from gerbang_service.changing.safeguards import Safeguards
from gerbang_service.domain.identifiers import check_id, check_request_id
from gerbang_service.rpc import mapping, office_parsing, proposal_mapping
from gerbang_service.rpc.pages import page_token, token_id
from gerbang_service.threads.admission import Deadline

Context = aio.ServicerContext[Any, Any]


class ProposalsServicer:
    """A part of WatchlistServicer."""

    def __init__(self, reads: ProposalReads, proposals: OfficeProposals) -> None:
        self._proposal_reads = reads
        self._proposals = proposals

    async def ListProposals(self, request: pb.ListProposalsRequest, context: Context) -> pb.ListProposalsResponse:
        """Return a page of proposals."""
        size = office_parsing.page_size(request.page_size)
        after = office_parsing.proposal_id("page_token", token_id(request.page_token) or "0")
        watchlist = check_id("watchlist", request.watchlist) if request.watchlist else ""
        page, end = await self._proposal_reads.proposals(watchlist, after, size, calls.caller(), _deadline(context))
        return pb.ListProposalsResponse(
            proposals=map(proposal_mapping.shown, page), next_page_token=page_token(str(end)) if end else ""
        )

    async def GetProposal(self, request: pb.GetProposalRequest, context: Context) -> pb.GetProposalResponse:
        """Return one proposal."""
        wanted = office_parsing.proposal_id("proposal_id", request.proposal_id)
        found = await self._proposal_reads.proposal(wanted, calls.caller(), _deadline(context))
        return pb.GetProposalResponse(proposal=proposal_mapping.shown(found))

    async def ConfirmProposal(self, request: pb.ConfirmProposalRequest, context: Context) -> pb.ConfirmProposalResponse:
        """Make a change that somebody else proposed."""
        wanted = office_parsing.proposal_id("proposal_id", request.proposal_id)
        once = Safeguards(check_request_id(request.request_id))
        done = await self._proposals.confirm(wanted, once, calls.caller(), _deadline(context))
        response = pb.ConfirmProposalResponse(
            revision=done.revision,
            added_watchlists=done.added,
            removed_watchlists=done.removed,
            replayed=done.replayed,
            proposal=_proposal(done),
        )
        if done.subject is not None:
            response.subject.CopyFrom(mapping.subject(done.subject))
        if done.watchlist is not None:
            response.watchlist.CopyFrom(mapping.watchlist(done.watchlist))
        return response

    async def WithdrawProposal(
        self, request: pb.WithdrawProposalRequest, context: Context
    ) -> pb.WithdrawProposalResponse:
        """Give a proposal up."""
        wanted = office_parsing.proposal_id("proposal_id", request.proposal_id)
        once = Safeguards(check_request_id(request.request_id))
        done = await self._proposals.withdraw(wanted, once, calls.caller(), _deadline(context))
        return pb.WithdrawProposalResponse(revision=done.revision, replayed=done.replayed, proposal=_proposal(done))


def _proposal(done: Confirmed) -> pb.Proposal | None:
    return None if done.proposal is None else proposal_mapping.proposal(done.proposal)


def _deadline(context: Context) -> Deadline:
    return Deadline.after(context.time_remaining())
