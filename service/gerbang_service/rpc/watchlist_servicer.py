"""WatchlistService: parse, call, map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from grpc import aio

from gerbang.v1 import watchlist_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2_grpc
from gerbang_service.access import calls
from gerbang_service.asking.office import OfficeReads
from gerbang_service.asking.proposals import ProposalReads
from gerbang_service.asking.recall_check import RecallCheck
from gerbang_service.changing.office import OfficeChanges
from gerbang_service.changing.proposals import OfficeProposals
from gerbang_service.changing.safeguards import Safeguards
from gerbang_service.domain.errors import FieldInvalid
from gerbang_service.domain.faces import CaptureChain
from gerbang_service.domain.identifiers import check_id, check_request_id
from gerbang_service.domain.questions import Defaults
from gerbang_service.gallery.candidates.port import GeneratorProgress
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.rpc import mapping, office_parsing
from gerbang_service.rpc.enums import PLAN_NUMBERS
from gerbang_service.rpc.pages import page_token, token_id
from gerbang_service.rpc.proposals_servicer import ProposalsServicer
from gerbang_service.rpc.threshold_mapping import threshold_basis
from gerbang_service.threads.admission import Deadline

Context = aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the server is: constant while it runs."""

    face_pack: str
    model: str
    dimension: int
    defaults: Defaults
    start_time_ns: int
    epoch: str
    chain: CaptureChain | None
    time_zone: str


class WatchlistServicer(ProposalsServicer, watchlist_service_pb2_grpc.WatchlistServiceServicer):
    """The rpcs of gerbang.v1.WatchlistService."""

    def __init__(
        self,
        reads: OfficeReads,
        changes: OfficeChanges,
        proposal_reads: ProposalReads,
        proposals: OfficeProposals,
        gallery: Gallery,
        check: RecallCheck,
        facts: ServerFacts,
    ) -> None:
        super().__init__(proposal_reads, proposals)
        self._reads = reads
        self._changes = changes
        self._gallery = gallery
        self._check = check
        self._facts = facts

    async def CreateWatchlist(self, request: pb.CreateWatchlistRequest, context: Context) -> pb.CreateWatchlistResponse:
        """Create a watchlist."""
        wanted = office_parsing.watchlist(request.watchlist)
        self._refuse_what_cannot_be_met(wanted.target_fpir)
        safeguards = Safeguards(check_request_id(request.request_id))
        done = await self._changes.create_watchlist(wanted, safeguards, calls.caller(), _deadline(context))
        return pb.CreateWatchlistResponse(
            watchlist=mapping.watchlist(done.counted), revision=done.revision, replayed=done.replayed
        )

    def _refuse_what_cannot_be_met(self, target_fpir: float | None) -> None:
        if target_fpir is not None and self._facts.defaults.identification.rates is None:
            raise FieldInvalid(
                "watchlist.target_fpir",
                "the false match rates of this server's recogniser are not known: give a threshold instead",
            )

    async def GetWatchlist(self, request: pb.GetWatchlistRequest, context: Context) -> pb.GetWatchlistResponse:
        """Return one watchlist."""
        name = check_id("watchlist_id", request.watchlist_id)
        found = await self._reads.watchlist(name, calls.caller(), _deadline(context))
        return pb.GetWatchlistResponse(watchlist=mapping.watchlist(found))

    async def ListWatchlists(self, request: pb.ListWatchlistsRequest, context: Context) -> pb.ListWatchlistsResponse:
        """Return a page of the watchlists that the caller may use, or all of them."""
        size = office_parsing.lists_page_size(request.page_size)
        after = token_id(request.page_token)
        # One more than asked for tells whether there is another page.
        found = await self._reads.watchlists(after, size and size + 1, calls.caller(), _deadline(context))
        page = found[:size]
        return pb.ListWatchlistsResponse(
            watchlists=[mapping.watchlist(each) for each in page],
            next_page_token=page_token(page[-1].watchlist.watchlist_id) if len(found) > len(page) else "",
        )

    async def UpdateWatchlist(self, request: pb.UpdateWatchlistRequest, context: Context) -> pb.UpdateWatchlistResponse:
        """Change a watchlist."""
        changed = office_parsing.watchlist_changes(request.watchlist, request.update_mask)
        self._refuse_what_cannot_be_met(changed.get("target_fpir"))
        done = await self._changes.update_watchlist(
            request.watchlist.watchlist_id,
            changed,
            office_parsing.safeguards(request),
            calls.caller(),
            _deadline(context),
        )
        return pb.UpdateWatchlistResponse(
            watchlist=mapping.watchlist(done.counted), revision=done.revision, replayed=done.replayed
        )

    async def DeleteWatchlist(self, request: pb.DeleteWatchlistRequest, context: Context) -> pb.DeleteWatchlistResponse:
        """Delete a watchlist."""
        name = check_id("watchlist_id", request.watchlist_id)
        safeguards = office_parsing.safeguards(request)
        done = await self._changes.delete_watchlist(
            name, safeguards, calls.caller(), _deadline(context), force=request.force
        )
        return pb.DeleteWatchlistResponse(revision=done.revision, replayed=done.replayed)

    async def GetSubject(self, request: pb.GetSubjectRequest, context: Context) -> pb.GetSubjectResponse:
        """Return one subject."""
        name = check_id("subject_id", request.subject_id)
        found = await self._reads.subject(name, calls.caller(), _deadline(context))
        return pb.GetSubjectResponse(subject=mapping.subject(found.subject, found.proposals))

    async def ListSubjects(self, request: pb.ListSubjectsRequest, context: Context) -> pb.ListSubjectsResponse:
        """Return a page of subjects."""
        size = office_parsing.page_size(request.page_size)
        after = token_id(request.page_token)
        wanted = office_parsing.wanted(request)
        page, end = await self._reads.subjects(wanted, after, size, calls.caller(), _deadline(context))
        return pb.ListSubjectsResponse(
            subjects=[mapping.subject(each.subject, each.proposals) for each in page],
            next_page_token=page_token(end) if end else "",
        )

    async def UpdateSubject(self, request: pb.UpdateSubjectRequest, context: Context) -> pb.UpdateSubjectResponse:
        """Change a subject."""
        change = office_parsing.subject_change(request)
        safeguards = office_parsing.safeguards(request)
        done = await self._changes.update_subject(
            request.subject.subject_id, change, safeguards, calls.caller(), _deadline(context)
        )
        return pb.UpdateSubjectResponse(
            subject=mapping.subject(done.subject),
            revision=done.revision,
            added_watchlists=done.added,
            removed_watchlists=done.removed,
            replayed=done.replayed,
        )

    async def DeleteSubject(self, request: pb.DeleteSubjectRequest, context: Context) -> pb.DeleteSubjectResponse:
        """Delete a subject."""
        name = check_id("subject_id", request.subject_id)
        safeguards = office_parsing.safeguards(request)
        done = await self._changes.delete_subject(name, safeguards, calls.caller(), _deadline(context))
        return pb.DeleteSubjectResponse(revision=done.revision, removed_watchlists=done.removed, replayed=done.replayed)

    async def DeleteTemplate(self, request: pb.DeleteTemplateRequest, context: Context) -> pb.DeleteTemplateResponse:
        """Delete one template."""
        name = check_id("subject_id", request.subject_id)
        template_id = office_parsing.template_id(request.template_id)
        safeguards = office_parsing.safeguards(request)
        done = await self._changes.delete_template(name, template_id, safeguards, calls.caller(), _deadline(context))
        return pb.DeleteTemplateResponse(
            subject=mapping.subject(done.subject), revision=done.revision, replayed=done.replayed
        )

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Context) -> pb.GetServerInfoResponse:
        """Tell what the server is and holds."""
        facts, generators, count = self._facts, self._gallery.progress(), self._check.count
        graph, identification = _graph(generators), self._gallery.in_force(facts.defaults.identification).server
        return pb.GetServerInfoResponse(
            version=version("gerbang"),
            face_pack=facts.face_pack,
            model=facts.model,
            dimension=facts.dimension,
            verification_threshold=facts.defaults.verification.cosine,
            identification_threshold=identification.cosine,
            verification_basis=threshold_basis(facts.defaults.verification),
            identification_basis=threshold_basis(identification),
            gallery_size=self._gallery.size,
            subject_count=self._gallery.subject_count,
            watchlist_count=len(self._gallery.watchlists),
            revision=self._gallery.revision,
            plan=PLAN_NUMBERS[facts.defaults.plan],
            graph=pb.GraphProgress(indexed=graph.indexed, pending=graph.pending, tombstones=graph.tombstones),
            start_time=mapping.timestamp(facts.start_time_ns),
            audit=pb.SelfAudit(audited=count.checked, missed=count.missed, skipped=count.skipped),
            generators=[mapping.generator(each) for each in generators],
            epoch=facts.epoch,
            capture_chain=None if facts.chain is None else mapping.capture_chain(facts.chain),
            time_zone=facts.time_zone,
        )

    async def MeasureRecall(self, request: pb.MeasureRecallRequest, context: Context) -> pb.MeasureRecallResponse:
        """Measure how many people each plan misses."""
        wanted = office_parsing.recall(request)
        graph, size = _graph(self._gallery.progress()), self._gallery.size
        measured = await self._check.measure(wanted, _deadline(context))
        return pb.MeasureRecallResponse(
            measurements=[mapping.recall(each) for each in measured],
            gallery_size=size,
            graph_indexed=graph.indexed,
        )


def _graph(generators: Sequence[GeneratorProgress]) -> GeneratorProgress:
    """Return how far the graph follows, which clients of before there were several generators ask for."""
    return next(each for each in generators if each.name == "graph")


def _deadline(context: Context) -> Deadline:
    return Deadline.after(context.time_remaining())
