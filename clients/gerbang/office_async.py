# ruff: noqa: ASYNC109 - a gRPC deadline reaches the server, so that it stops too; asyncio.timeout does not
"""The client of the watchlist office, for asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Unpack

from gerbang import _watchlist_requests as requests
from gerbang._channel import OFFICE_TIMEOUT_S
from gerbang._choices import Choice
from gerbang._clients import AsyncClient, as_async
from gerbang._requests import enroll_request
from gerbang.v1 import watchlist_service_pb2 as pb
from gerbang.v1.watchlist_service_pb2_grpc import WatchlistServiceStub

if TYPE_CHECKING:
    from gerbang._options import ChangeOptions, EnrollOptions, SubjectFields, WatchlistChange, WatchlistFields
    from gerbang._samples import Probe
    from gerbang.v1.matching_service_pb2 import EnrollRequest, EnrollResponse
    from gerbang.v1.subject_pb2 import Subject
    from gerbang.v1.watchlist_pb2 import Watchlist
    from gerbang.v1.watchlist_service_pb2 import Proposal
    from gerbang.v1.watchlist_service_pb2_grpc import WatchlistServiceAsyncStub


class AsyncWatchlistClient(AsyncClient):
    """WatchlistClient for asyncio: the same calls with the same arguments, answers and errors, awaited.

    For one event loop; tasks may share it. Reading a file given as a path blocks the loop for as long as it
    takes.
    """

    DEFAULT_TIMEOUT_S = OFFICE_TIMEOUT_S

    @cached_property
    def _watchlists(self) -> WatchlistServiceAsyncStub:
        return WatchlistServiceStub(self._channel)

    async def enroll(
        self,
        subject_id: str,
        samples: Iterable[Probe],
        *,
        timeout: float | None = None,
        **options: Unpack[EnrollOptions],
    ) -> EnrollResponse:
        """Enrol a subject, or add to one; see WatchlistClient.enroll."""
        request = enroll_request(subject_id, samples, **options)
        return await self._call(self._matching.Enroll, request, timeout)

    def enroll_stream(
        self,
        enrolments: AsyncIterable[EnrollRequest] | Iterable[EnrollRequest],
        *,
        timeout: float | None = None,
    ) -> AsyncIterator[EnrollResponse]:
        """Enrol many over one open call; see WatchlistClient.enroll_stream.

        Use with `async for`. A plain iterable is advanced in the event loop, so it must not block. To leave
        the loop early, wrap it in `contextlib.aclosing`: else the call ends only when the iterator is
        collected.
        """
        return self._stream(self._matching.EnrollStream, as_async(enrolments), timeout)

    async def create_watchlist(
        self, watchlist_id: str, *, timeout: float | None = None, **fields: Unpack[WatchlistFields]
    ) -> pb.CreateWatchlistResponse:
        """Create a watchlist; see WatchlistClient.create_watchlist."""
        request = requests.create_watchlist_request(watchlist_id, fields)
        return await self._call(self._watchlists.CreateWatchlist, request, timeout)

    async def get_watchlist(self, watchlist_id: str, *, timeout: float | None = None) -> Watchlist:
        """Return a watchlist; see WatchlistClient.get_watchlist."""
        request = pb.GetWatchlistRequest(watchlist_id=watchlist_id)
        return (await self._call(self._watchlists.GetWatchlist, request, timeout)).watchlist

    async def list_watchlists(self, *, timeout: float | None = None) -> list[Watchlist]:
        """Return all watchlists, by id. timeout: seconds a page."""
        page = await self._call(self._watchlists.ListWatchlists, requests.list_watchlists_request(), timeout)
        found = list(page.watchlists)
        while page.next_page_token:
            request = requests.list_watchlists_request(page.next_page_token)
            page = await self._call(self._watchlists.ListWatchlists, request, timeout)
            found += page.watchlists
        return found

    async def update_watchlist(
        self, watchlist_id: str, *, timeout: float | None = None, **fields: Unpack[WatchlistChange]
    ) -> pb.UpdateWatchlistResponse:
        """Change the given fields; see WatchlistClient.update_watchlist."""
        request = requests.update_watchlist_request(watchlist_id, fields)
        return await self._call(self._watchlists.UpdateWatchlist, request, timeout)

    async def delete_watchlist(
        self,
        watchlist_id: str,
        *,
        force: bool = False,
        timeout: float | None = None,
        **options: Unpack[ChangeOptions],
    ) -> pb.DeleteWatchlistResponse:
        """Delete a watchlist; see WatchlistClient.delete_watchlist."""
        request = requests.delete_watchlist_request(watchlist_id, options, force=force)
        return await self._call(self._watchlists.DeleteWatchlist, request, timeout)

    async def get_subject(self, subject_id: str, *, timeout: float | None = None) -> Subject:
        """Return a subject; see WatchlistClient.get_subject."""
        request = pb.GetSubjectRequest(subject_id=subject_id)
        return (await self._call(self._watchlists.GetSubject, request, timeout)).subject

    async def list_subjects(
        self,
        *,
        watchlist: str = "",
        expires_before: datetime | None = None,
        labels: Mapping[str, str] | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncIterator[Subject]:
        """Yield all subjects by id, page after page; see WatchlistClient.list_subjects."""
        request: pb.ListSubjectsRequest | None = requests.list_subjects_request(
            watchlist, expires_before, labels, page_size
        )
        while request is not None:
            page = await self._call(self._watchlists.ListSubjects, request, timeout)
            for subject in page.subjects:
                yield subject
            request = requests.next_page(request, page)

    async def update_subject(
        self, subject_id: str, *, timeout: float | None = None, **fields: Unpack[SubjectFields]
    ) -> pb.UpdateSubjectResponse:
        """Change the given fields; see WatchlistClient.update_subject."""
        request = requests.update_subject_request(subject_id, fields)
        return await self._call(self._watchlists.UpdateSubject, request, timeout)

    async def delete_subject(
        self, subject_id: str, *, timeout: float | None = None, **options: Unpack[ChangeOptions]
    ) -> pb.DeleteSubjectResponse:
        """Erase a subject with all its templates; see WatchlistClient.delete_subject."""
        request = requests.delete_subject_request(subject_id, options)
        return await self._call(self._watchlists.DeleteSubject, request, timeout)

    async def delete_template(
        self, subject_id: str, template_id: str, *, timeout: float | None = None, **options: Unpack[ChangeOptions]
    ) -> pb.DeleteTemplateResponse:
        """Erase one template; see WatchlistClient.delete_template."""
        request = requests.delete_template_request(subject_id, template_id, options)
        return await self._call(self._watchlists.DeleteTemplate, request, timeout)

    async def list_proposals(
        self, *, watchlist: str = "", page_size: int = 0, timeout: float | None = None
    ) -> AsyncIterator[Proposal]:
        """Yield the changes that wait for a second person; see WatchlistClient.list_proposals."""
        request = pb.ListProposalsRequest(watchlist=watchlist, page_size=page_size)
        while True:
            page = await self._call(self._watchlists.ListProposals, request, timeout)
            for each in page.proposals:
                yield each
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def get_proposal(self, proposal_id: str, *, timeout: float | None = None) -> Proposal:
        """Return a proposal that waits. Raises ProposalNotFound."""
        request = pb.GetProposalRequest(proposal_id=proposal_id)
        return (await self._call(self._watchlists.GetProposal, request, timeout)).proposal

    async def confirm_proposal(
        self, proposal_id: str, *, request_id: str | None = None, timeout: float | None = None
    ) -> pb.ConfirmProposalResponse:
        """Make a change that somebody else proposed; see WatchlistClient.confirm_proposal."""
        request = pb.ConfirmProposalRequest(proposal_id=proposal_id, request_id=request_id or "")
        return await self._call(self._watchlists.ConfirmProposal, request, timeout)

    async def withdraw_proposal(
        self, proposal_id: str, *, request_id: str | None = None, timeout: float | None = None
    ) -> pb.WithdrawProposalResponse:
        """Give a proposal up; see WatchlistClient.withdraw_proposal."""
        request = pb.WithdrawProposalRequest(proposal_id=proposal_id, request_id=request_id or "")
        return await self._call(self._watchlists.WithdrawProposal, request, timeout)

    async def server_info(self, *, timeout: float | None = None) -> pb.GetServerInfoResponse:
        """Return what the server is and holds; see WatchlistClient.server_info."""
        return await self._call(self._watchlists.GetServerInfo, pb.GetServerInfoRequest(), timeout)

    async def measure_recall(
        self,
        *,
        sample: int = 0,
        similarities: Sequence[float] = (),
        plans: Sequence[Choice] = (),
        timeout: float | None = 600.0,
    ) -> pb.MeasureRecallResponse:
        """Measure how many people each plan misses; see WatchlistClient.measure_recall."""
        request = requests.recall_request(sample, similarities, plans)
        return await self._call(self._watchlists.MeasureRecall, request, timeout)
