"""The client of the watchlist office, for threads: who is on which list, and for how long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Unpack

from gerbang import _watchlist_requests as requests
from gerbang._channel import OFFICE_TIMEOUT_S
from gerbang._choices import Choice
from gerbang._clients import SyncClient
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


class WatchlistClient(SyncClient):
    """Enrols and manages subjects and watchlists. Thread-safe; close it, or use `with`.

    `WatchlistClient(target="127.0.0.1:50051", *, timeout=30.0, credentials=None, token=None, insecure=False,
    options=())`: see `Client`.

    A change that returned is on the server's disk and visible to identify; its answer has the `revision` that
    holds it. Changes other than enroll are not retried: after Unavailable or DeadlineExceeded repeat them with
    the `request_id` that you gave, or look before repeating. Every call takes `timeout` (seconds; None: the
    client's) and may raise any GerbangError; TypeError, ValueError and OSError are about its arguments and
    come before anything is sent.
    """

    DEFAULT_TIMEOUT_S = OFFICE_TIMEOUT_S

    def _prepare(self) -> None:
        super()._prepare()
        self._watchlists = WatchlistServiceStub(self._channel)

    def enroll(
        self,
        subject_id: str,
        samples: Iterable[Probe],
        *,
        timeout: float | None = None,
        **options: Unpack[EnrollOptions],
    ) -> EnrollResponse:
        """Enrol a subject, or add to one. Safe to retry, and retried, thanks to its request_id.

        subject_id: 1 to 128 of [A-Za-z0-9._:-], opaque: no personal data, it is logged. Empty: the server
        makes one.
        samples: 1 to 20 Probes of the same face. Other keywords: see EnrollOptions.
        The answer's `duplicates` are other subjects that have this face already: a hint, not an error.
        Raises FaceRejected, ImageRejected, SamplesDiffer, SubjectExists, WatchlistNotFound, MessageTooLarge
        (64 MiB in all) or another GerbangError.
        """
        return self._call(self._matching.Enroll, enroll_request(subject_id, samples, **options), timeout)

    def enroll_stream(
        self, enrolments: Iterable[EnrollRequest], *, timeout: float | None = None
    ) -> Iterator[EnrollResponse]:
        """Enrol many over one open call: one answer each, in order. Make them with `gerbang.enroll_request`.

        An item is durable as soon as its answer is here. One that failed has its `error` set
        (`gerbang.error_of`) and the stream goes on. A broken stream is not retried: send what was not
        answered again, with the same request_ids. `enrolments` is read ahead of the answers, in a thread of
        gRPC's; an exception that it raises ends the sending and is raised after the last answer. timeout:
        seconds for the whole stream. None: no limit.
        """
        return self._stream(self._matching.EnrollStream, enrolments, timeout)

    def create_watchlist(
        self, watchlist_id: str, *, timeout: float | None = None, **fields: Unpack[WatchlistFields]
    ) -> pb.CreateWatchlistResponse:
        """Create a watchlist. Its id: 1 to 128 of [A-Za-z0-9._:-].

        Fields: see WatchlistFields. Raises WatchlistExists.
        """
        request = requests.create_watchlist_request(watchlist_id, fields)
        return self._call(self._watchlists.CreateWatchlist, request, timeout)

    def get_watchlist(self, watchlist_id: str, *, timeout: float | None = None) -> Watchlist:
        """Return a watchlist. Raises WatchlistNotFound."""
        request = pb.GetWatchlistRequest(watchlist_id=watchlist_id)
        return self._call(self._watchlists.GetWatchlist, request, timeout).watchlist

    def list_watchlists(self, *, timeout: float | None = None) -> list[Watchlist]:
        """Return all watchlists, by id. timeout: seconds a page."""
        page = self._call(self._watchlists.ListWatchlists, requests.list_watchlists_request(), timeout)
        found = list(page.watchlists)
        while page.next_page_token:
            request = requests.list_watchlists_request(page.next_page_token)
            page = self._call(self._watchlists.ListWatchlists, request, timeout)
            found += page.watchlists
        return found

    def update_watchlist(
        self, watchlist_id: str, *, timeout: float | None = None, **fields: Unpack[WatchlistChange]
    ) -> pb.UpdateWatchlistResponse:
        """Change the given fields, at least one, and no others; `threshold=None` clears the threshold.

        Fields: see WatchlistFields; others: see ChangeOptions. Raises WatchlistNotFound, RevisionConflict.
        """
        request = requests.update_watchlist_request(watchlist_id, fields)
        return self._call(self._watchlists.UpdateWatchlist, request, timeout)

    def delete_watchlist(
        self,
        watchlist_id: str,
        *,
        force: bool = False,
        timeout: float | None = None,
        **options: Unpack[ChangeOptions],
    ) -> pb.DeleteWatchlistResponse:
        """Delete a watchlist; its subjects stay enrolled.

        force: also when subjects are on it. Others: see ChangeOptions. Raises WatchlistNotEmpty (unless
        forced), WatchlistNotFound, RevisionConflict.
        """
        request = requests.delete_watchlist_request(watchlist_id, options, force=force)
        return self._call(self._watchlists.DeleteWatchlist, request, timeout)

    def get_subject(self, subject_id: str, *, timeout: float | None = None) -> Subject:
        """Return a subject; never its vectors. Raises SubjectNotFound."""
        request = pb.GetSubjectRequest(subject_id=subject_id)
        return self._call(self._watchlists.GetSubject, request, timeout).subject

    def list_subjects(
        self,
        *,
        watchlist: str = "",
        expires_before: datetime | None = None,
        labels: Mapping[str, str] | None = None,
        page_size: int = 0,
        timeout: float | None = None,
    ) -> Iterator[Subject]:
        """Yield all subjects by id, fetching page after page as they are needed.

        watchlist: only those on it. Default: all. expires_before: only those whose time is over at this moment, a
        datetime with a time zone. labels: only those that have all of these. page_size: subjects a call, 0 to 1000.
        Default 0: 100. timeout: seconds a page. Raises WatchlistNotFound at the first subject.
        """
        request: pb.ListSubjectsRequest | None = requests.list_subjects_request(
            watchlist, expires_before, labels, page_size
        )
        while request is not None:
            page = self._call(self._watchlists.ListSubjects, request, timeout)
            yield from page.subjects
            request = requests.next_page(request, page)

    def update_subject(
        self, subject_id: str, *, timeout: float | None = None, **fields: Unpack[SubjectFields]
    ) -> pb.UpdateSubjectResponse:
        """Change the given fields, at least one, and no others; `expire_time=None` clears the expiry.

        Fields: see SubjectFields. Raises SubjectNotFound, WatchlistNotFound, RevisionConflict.
        """
        request = requests.update_subject_request(subject_id, fields)
        return self._call(self._watchlists.UpdateSubject, request, timeout)

    def delete_subject(
        self, subject_id: str, *, timeout: float | None = None, **options: Unpack[ChangeOptions]
    ) -> pb.DeleteSubjectResponse:
        """Erase a subject with all its templates. Options: see ChangeOptions.

        Raises SubjectNotFound, RevisionConflict.
        """
        request = requests.delete_subject_request(subject_id, options)
        return self._call(self._watchlists.DeleteSubject, request, timeout)

    def delete_template(
        self, subject_id: str, template_id: str, *, timeout: float | None = None, **options: Unpack[ChangeOptions]
    ) -> pb.DeleteTemplateResponse:
        """Erase one template; the subject stays, even without any. Options: see ChangeOptions.

        Raises SubjectNotFound, TemplateNotFound, RevisionConflict.
        """
        request = requests.delete_template_request(subject_id, template_id, options)
        return self._call(self._watchlists.DeleteTemplate, request, timeout)

    def list_proposals(
        self, *, watchlist: str = "", page_size: int = 0, timeout: float | None = None
    ) -> Iterator[Proposal]:
        """Yield the changes that wait for a second person, the oldest first, fetching page after page.

        watchlist: only those by which it would stop fewer people. Default: all. page_size: proposals a call, 0 to 1000.
        Default 0: 100. timeout: seconds a page. Raises WatchlistNotFound at the first proposal.
        """
        request = pb.ListProposalsRequest(watchlist=watchlist, page_size=page_size)
        while True:
            page = self._call(self._watchlists.ListProposals, request, timeout)
            yield from page.proposals
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def get_proposal(self, proposal_id: str, *, timeout: float | None = None) -> Proposal:
        """Return a proposal that waits. Raises ProposalNotFound."""
        request = pb.GetProposalRequest(proposal_id=proposal_id)
        return self._call(self._watchlists.GetProposal, request, timeout).proposal

    def confirm_proposal(
        self, proposal_id: str, *, request_id: str | None = None, timeout: float | None = None
    ) -> pb.ConfirmProposalResponse:
        """Make a change that somebody else proposed.

        request_id: a UUID, see ChangeOptions. Raises SamePerson, ProposalNotFound, RevisionConflict where its subject
        or list was changed since, and what the change itself raises.
        """
        request = pb.ConfirmProposalRequest(proposal_id=proposal_id, request_id=request_id or "")
        return self._call(self._watchlists.ConfirmProposal, request, timeout)

    def withdraw_proposal(
        self, proposal_id: str, *, request_id: str | None = None, timeout: float | None = None
    ) -> pb.WithdrawProposalResponse:
        """Give a proposal up: one's own, or one that one could confirm. Raises ProposalNotFound, RoleDenied."""
        request = pb.WithdrawProposalRequest(proposal_id=proposal_id, request_id=request_id or "")
        return self._call(self._watchlists.WithdrawProposal, request, timeout)

    def server_info(self, *, timeout: float | None = None) -> pb.GetServerInfoResponse:
        """Return what the server is and holds: version, face pack, dimension, thresholds, size, revision."""
        return self._call(self._watchlists.GetServerInfo, pb.GetServerInfoRequest(), timeout)

    def measure_recall(
        self,
        *,
        sample: int = 0,
        similarities: Sequence[float] = (),
        plans: Sequence[Choice] = (),
        timeout: float | None = 600.0,
    ) -> pb.MeasureRecallResponse:
        """Measure on the live gallery how many people each plan misses, and how long it takes.

        `sample`: templates to make probes for, 0 to 10,000 (0: 100). `similarities` of the probes to them, above 0 and
        below 1 (empty: 0.3 to 0.6). `plans`: "both", "graph", "sweep", "exact" (empty: all). `timeout`: seconds, also
        what the server stops after; a large gallery takes minutes. Raises Busy while another measurement runs.
        """
        request = requests.recall_request(sample, similarities, plans)
        return self._call(self._watchlists.MeasureRecall, request, timeout)
