"""WatchlistService: parse, call, map."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, TypeVar

from grpc import aio

from gerbang.v1 import watchlist_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2_grpc
from gerbang_service.access import calls
from gerbang_service.changing import bounds, operations
from gerbang_service.changing.submitting import Writing
from gerbang_service.changing.writer import Operation
from gerbang_service.domain.comparisons import Defaults
from gerbang_service.domain.errors import WatchlistNotFound
from gerbang_service.domain.identifiers import check_id
from gerbang_service.domain.subjects import Subject
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.rpc import mapping, parsing
from gerbang_service.rpc.pages import page_token, token_subject
from gerbang_service.running.parts import Parts
from gerbang_service.store.sqlite import reading
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.threads.admission import Deadline

Context = aio.ServicerContext[Any, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the server is: constant while it runs."""

    face_pack: str
    model: str
    dimension: int
    defaults: Defaults
    start_time_ns: int


class WatchlistServicer(watchlist_service_pb2_grpc.WatchlistServiceServicer):
    """The rpcs of gerbang.v1.WatchlistService."""

    def __init__(self, parts: Parts, writing: Writing, facts: ServerFacts) -> None:
        self._gallery = parts.gallery
        self._store = parts.store
        self._writing = writing
        self._queries = parts.queries
        self._recall_check = parts.recall_check
        self._facts = facts

    async def _write(self, operation: Operation[T], context: Context) -> T:
        _deadline(context).check()
        return await self._writing.write(operation)

    async def _read(self, query: Callable[[Connection], T], context: Context) -> T:
        def work() -> T:
            with self._store.reading() as connection:
                return query(connection)

        return await self._queries.run(work, _deadline(context))

    async def _counted(self, watchlist: Watchlist, context: Context) -> Any:  # noqa: ANN401 - a protobuf message
        count = await self._read(lambda c: reading.subject_count(c, watchlist.watchlist_id), context)
        return mapping.watchlist(watchlist, count)

    async def CreateWatchlist(self, request: pb.CreateWatchlistRequest, context: Context) -> pb.CreateWatchlistResponse:
        """Create a watchlist."""
        watchlist = parsing.watchlist(request.watchlist)
        calls.caller().check_watchlists([watchlist.watchlist_id])
        operation = operations.create_watchlist(watchlist)
        created, revision = await self._write(operation, context)
        return pb.CreateWatchlistResponse(watchlist=mapping.watchlist(created, 0), revision=revision)

    async def GetWatchlist(self, request: pb.GetWatchlistRequest, context: Context) -> pb.GetWatchlistResponse:
        """Return one watchlist."""
        name = check_id("watchlist_id", request.watchlist_id)
        calls.caller().check_watchlists([name])
        return pb.GetWatchlistResponse(watchlist=await self._counted(self._existing(name), context))

    async def ListWatchlists(
        self,
        request: pb.ListWatchlistsRequest,
        context: Context,
    ) -> pb.ListWatchlistsResponse:
        """Return all watchlists that the caller may use."""
        own, known = calls.caller().watchlists, self._gallery.watchlists
        watchlists = [known[name] for name in sorted(known) if own is None or name in own]
        return pb.ListWatchlistsResponse(watchlists=[await self._counted(each, context) for each in watchlists])

    async def UpdateWatchlist(self, request: pb.UpdateWatchlistRequest, context: Context) -> pb.UpdateWatchlistResponse:
        """Change a watchlist."""
        changes = parsing.watchlist_changes(request.watchlist, request.update_mask)
        calls.caller().check_watchlists([request.watchlist.watchlist_id])
        operation = operations.update_watchlist(request.watchlist.watchlist_id, changes)
        updated, revision = await self._write(operation, context)
        return pb.UpdateWatchlistResponse(watchlist=await self._counted(updated, context), revision=revision)

    async def DeleteWatchlist(self, request: pb.DeleteWatchlistRequest, context: Context) -> pb.DeleteWatchlistResponse:
        """Delete a watchlist."""
        name = check_id("watchlist_id", request.watchlist_id)
        calls.caller().check_watchlists([name])
        revision = await self._write(operations.delete_watchlist(name, force=request.force), context)
        return pb.DeleteWatchlistResponse(revision=revision)

    async def GetSubject(self, request: pb.GetSubjectRequest, context: Context) -> pb.GetSubjectResponse:
        """Return one subject."""
        name = check_id("subject_id", request.subject_id)
        identity = calls.caller()
        found = await self._read(lambda c: bounds.seen(identity, c, name), context)
        return pb.GetSubjectResponse(subject=mapping.subject(found))

    async def ListSubjects(self, request: pb.ListSubjectsRequest, context: Context) -> pb.ListSubjectsResponse:
        """Return a page of subjects."""
        size = parsing.page_size(request.page_size)
        after = token_subject(request.page_token)
        identity = calls.caller()
        if request.watchlist:
            identity.check_watchlists([check_id("watchlist", request.watchlist)])
            self._existing(request.watchlist)
        lists = [request.watchlist] if request.watchlist else identity.watchlists
        # One more than asked for tells whether there is another page.
        found = await self._read(lambda c: _subjects(c, lists, after, size + 1), context)
        page = found[:size]
        return pb.ListSubjectsResponse(
            subjects=[mapping.subject(bounds.shown(identity, each)) for each in page],
            next_page_token=page_token(page[-1].subject_id) if len(found) > size else "",
        )

    async def UpdateSubject(self, request: pb.UpdateSubjectRequest, context: Context) -> pb.UpdateSubjectResponse:
        """Change a subject."""
        changes = parsing.subject_changes(request.subject, request.update_mask)
        name, identity = request.subject.subject_id, calls.caller()
        identity.check_watchlists(changes.get("watchlists", ()))
        operation = bounds.changing(identity, name, operations.update_subject(name, changes))
        updated, revision = await self._write(operation, context)
        return pb.UpdateSubjectResponse(subject=mapping.subject(updated), revision=revision)

    async def DeleteSubject(self, request: pb.DeleteSubjectRequest, context: Context) -> pb.DeleteSubjectResponse:
        """Delete a subject."""
        name = check_id("subject_id", request.subject_id)
        operation = bounds.changing(calls.caller(), name, operations.delete_subject(name))
        return pb.DeleteSubjectResponse(revision=await self._write(operation, context))

    async def DeleteTemplate(self, request: pb.DeleteTemplateRequest, context: Context) -> pb.DeleteTemplateResponse:
        """Delete one template."""
        name = check_id("subject_id", request.subject_id)
        delete = operations.delete_template(name, parsing.template_id(request.template_id))
        operation = bounds.changing(calls.caller(), name, delete)
        left, revision = await self._write(operation, context)
        return pb.DeleteTemplateResponse(subject=mapping.subject(left), revision=revision)

    async def GetServerInfo(
        self,
        request: pb.GetServerInfoRequest,
        context: Context,
    ) -> pb.GetServerInfoResponse:
        """Tell what the server is and holds."""
        facts, progress, count = self._facts, self._gallery.graph_progress(), self._recall_check.count
        return pb.GetServerInfoResponse(
            version=version("gerbang"),
            face_pack=facts.face_pack,
            model=facts.model,
            dimension=facts.dimension,
            verification_threshold=facts.defaults.verification_threshold,
            identification_threshold=facts.defaults.identification_threshold,
            gallery_size=self._gallery.size,
            subject_count=self._gallery.subject_count,
            watchlist_count=len(self._gallery.watchlists),
            revision=self._gallery.revision,
            plan=mapping.PLAN[facts.defaults.plan],
            graph=pb.GraphProgress(indexed=progress.indexed, pending=progress.pending, tombstones=progress.tombstones),
            start_time=mapping.timestamp(facts.start_time_ns),
            audit=pb.SelfAudit(audited=count.checked, missed=count.missed, skipped=count.skipped),
        )

    async def MeasureRecall(self, request: pb.MeasureRecallRequest, context: Context) -> pb.MeasureRecallResponse:
        """Measure how many people each plan misses."""
        wanted = parsing.recall(request)
        progress = self._gallery.graph_progress()
        size = self._gallery.size
        measured = await self._recall_check.measure(wanted, _deadline(context))
        return pb.MeasureRecallResponse(
            measurements=[mapping.recall(each) for each in measured],
            gallery_size=size,
            graph_indexed=progress.indexed,
        )

    def _existing(self, watchlist_id: str) -> Watchlist:
        watchlist = self._gallery.watchlists.get(watchlist_id)
        if watchlist is None:
            raise WatchlistNotFound(f"no watchlist {watchlist_id}", watchlist_id=watchlist_id)
        return watchlist


def _subjects(connection: Connection, lists: Collection[str] | None, after: str, limit: int) -> list[Subject]:
    """Return up to `limit` subjects with an id greater than `after` that are on one of these lists; None: all."""
    if lists is None:
        return reading.subjects_page(connection, after=after, limit=limit)
    pages = (reading.subjects_page(connection, after=after, limit=limit, watchlist_id=each) for each in lists)
    found = {each.subject_id: each for page in pages for each in page}
    return [found[name] for name in sorted(found)[:limit]]


def _deadline(context: Context) -> Deadline:
    return Deadline.after(context.time_remaining())
