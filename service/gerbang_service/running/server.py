"""The server's life: bind, load, serve, drain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from grpc import aio

from gerbang_service.access.calls import Observers
from gerbang_service.access.identity import Identity
from gerbang_service.access.tcp_ports import Opened, Ports
from gerbang_service.asking.office import OfficeReads
from gerbang_service.asking.proposals import ProposalReads
from gerbang_service.audit.log import AuditLog
from gerbang_service.audit.serving import compare, note_others, note_start, open_log, open_worker_log
from gerbang_service.changing.enrolling import Enrolling
from gerbang_service.changing.office import OfficeChanges
from gerbang_service.changing.proposals import OfficeProposals
from gerbang_service.changing.repeats import Repeats
from gerbang_service.changing.submitting import Writing
from gerbang_service.configuration.addresses import split_address
from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import GerbangError
from gerbang_service.rpc.guard import Context, Guard
from gerbang_service.rpc.health import NOT_SERVING, SERVING, WRITES, Health
from gerbang_service.rpc.matching_servicer import MatchingServicer
from gerbang_service.rpc.parsing import Parser
from gerbang_service.rpc.recording import Recorder
from gerbang_service.rpc.services import NAMES, adding
from gerbang_service.rpc.streams import Drain, OpenStreams
from gerbang_service.rpc.watchlist_servicer import ServerFacts, WatchlistServicer
from gerbang_service.rpc.withholding import Withholding
from gerbang_service.running.ending_proposals import ending
from gerbang_service.running.erasing_expired import expiring
from gerbang_service.running.failed import Failed
from gerbang_service.running.figures import Probes
from gerbang_service.running.galleries import Inherited
from gerbang_service.running.listener import Listener
from gerbang_service.running.parts import Parts, build
from gerbang_service.running.telemetry import Telemetry

log = logging.getLogger(__name__)

# How long new calls are still answered, with SHUTTING_DOWN, seconds.
_LAST_CALLS_S = 0.2
# How long those who changed something, and then were cut off, have to have it recorded, seconds.
_LAST_RECORDS_S = 1.0


class _NotWanted(Exception):
    """The server is to stop, and what is being loaded will not be searched."""


class Server:
    """One server, from `start` to `stop`. Belongs to one event loop."""

    def __init__(self, settings: Settings, inherited: Inherited | None = None) -> None:
        """`inherited`: the gallery that this process was forked with, if it was."""
        self._settings = settings
        self._inherited = inherited
        self.nursery_ready: bool | None = None
        """Whether this process could be replaced at once; None for one that is not forked."""
        self._ready = False
        self._failed = False
        self._stopping = asyncio.Event()
        self._drain = Drain()
        self._health = Health()
        self._open_streams = OpenStreams(settings.max_streams)
        self._telemetry = Telemetry(settings)
        self._ports: list[int] = []
        self._audit: AuditLog | None = None
        self._writing: Writing | None = None
        self._listener: Listener | None = None

    async def run(self, say: Callable[[str], None]) -> None:
        """Serve until `stop`; `say` is told the bound address, and when the server is ready.

        Raises StartupError when it can't start, or Failed when it had to stop because memory and disk may differ.
        """
        meter = self._telemetry.meter
        # First of all: it costs nothing to find out that a certificate can't be used.
        ports = Ports(self._settings, self._note)
        parts = build(self._settings, self._inherited, on_failure=self._fail, meter=meter)
        try:
            self._open_audit(parts)
            parts.thresholds.note = self._note
            self._telemetry.start(parts, self._probes())
            self._set_health(NOT_SERVING)
            if self._settings.workers > 1:
                # Before it listens: the kernel would hand it connections that the others could serve.
                await self._load(parts)
            if not self._stopping.is_set():
                await self._listen(ports, parts, say)
        finally:
            await self._telemetry.stop()
            await asyncio.to_thread(parts.stop, loaded=self._ready)
            await self._close_audit()
        if self._failed:
            raise Failed("stopped: what is in memory may not be what is stored, see the log")
        log.info("stopped")

    def stop(self) -> None:
        """Begin to drain: no new calls, those in flight are finished, then `run` returns."""
        self._stopping.set()

    def _fail(self) -> None:
        self._failed = True
        self.stop()

    async def _listen(self, ports: Ports, parts: Parts, say: Callable[[str], None]) -> None:
        add_services = self._services(parts, ports.authentication(parts.store.reading))
        self._listener = Listener(self._settings, ports, self._telemetry.interceptors, add_services)
        opened = self._listener.bind()
        self._ports += [split_address(each)[1] for each in (opened.main, opened.tokens) if each]
        self._note_start(parts, opened, ports.facts())
        serving = asyncio.ensure_future(self._listener.serve(self._stopping))
        say(f"listening on {opened.main}")
        if opened.tokens:
            say(f"listening for tokens on {opened.tokens}")
        following = asyncio.ensure_future(
            self._health.follow_writes(lambda: self._ready and parts.writer.writable and self._recordable())
        )
        tidying: list[asyncio.Future[None]] = []
        try:
            if not self._ready:
                await self._load(parts)
            if not self._stopping.is_set():
                say("ready")
                tidying += map(asyncio.ensure_future, self._tidying(parts))
            await serving
        finally:
            following.cancel()
            self.stop()
            await self._drain_and_stop(self._listener)
            await serving
            if tidying:
                await asyncio.wait(tidying, timeout=_LAST_RECORDS_S)

    def _tidying(self, parts: Parts) -> Iterator[Coroutine[Any, Any, None]]:
        """Yield what goes on beside the calls: who has expired is erased, proposals that nobody confirmed are ended."""
        settings = self._settings
        yield ending(parts, self._audit, settings.proposals_kept_days).run(self._stopping)
        if settings.expired_kept_days is not None:
            yield expiring(parts, self._audit, settings.expired_kept_days).run(self._stopping)

    def _recordable(self) -> bool:
        return self._audit is None or not self._audit.failing

    async def _load(self, parts: Parts) -> None:
        """Load, unless told to stop before it is done."""
        try:
            await asyncio.to_thread(parts.load, self._check_wanted)
        except _NotWanted:
            log.info("told to stop while loading")
            return
        self._ready = True
        if not self._stopping.is_set():
            self._set_health(SERVING)

    def _check_wanted(self) -> None:
        # In the thread that loads, which can't be cancelled.
        if self._stopping.is_set():
            raise _NotWanted

    async def _drain_and_stop(self, listener: Listener) -> None:
        # Load balancers and clients see NOT_SERVING first, streams end after what they took, and calls in flight have
        # the grace to finish.
        self._health.drain()
        self._drain.begin()
        log.info("draining")
        # Those who call in this time are told SHUTTING_DOWN; once gRPC stops, it only cancels what it has not begun.
        await asyncio.sleep(_LAST_CALLS_S)
        await listener.stop(self._settings.drain_grace_s)

    def _set_health(self, status: int) -> None:
        # The empty name is the server as a whole.
        for name in ("", *NAMES, WRITES):
            self._health.set(name, status)

    def _probes(self) -> Probes:
        return Probes(
            ready=lambda: self._ready and self._listener is not None and self._listener.listening,
            draining=self._stopping.is_set,
            ports=lambda: self._ports,
            open_streams=lambda: self._open_streams.count,
            audit_waiting=lambda: 0 if self._audit is None else self._audit.waiting[0],
            audit_writable=self._recordable,
            nursery_ready=lambda: self.nursery_ready,
        )

    def _open_audit(self, parts: Parts) -> None:
        settings, cipher = self._settings, parts.store.cipher
        tell = asyncio.get_running_loop().call_soon_threadsafe
        with parts.store.reading() as reader:
            revision = reader.revision()
        if settings.workers > 1:
            self._audit = open_worker_log(settings, cipher, revision, tell=tell)
        else:
            self._audit = open_log(settings, cipher, alone=True, tell=tell)
            if self._audit is not None:
                compare(self._audit, settings, cipher, revision)
                note_others(self._audit)

    def _note(self, event: dict[str, Any]) -> None:
        if self._audit is not None:
            self._audit.note(event)

    def _note_start(self, parts: Parts, opened: Opened, callers: dict[str, Any]) -> None:
        if self._audit is not None:
            recogniser = parts.recogniser
            note_start(
                self._audit,
                self._settings,
                listen=opened.main,
                token_listen=opened.tokens,
                model=recogniser.model,
                threshold=recogniser.defaults.identification.fixed,
                target_fpir=recogniser.defaults.identification.target_fpir,
                verification_threshold=recogniser.defaults.verification.cosine,
                **callers,
            )

    async def _close_audit(self) -> None:
        if self._audit is None:
            return
        if self._writing is not None:
            await self._writing.finished(_LAST_RECORDS_S)
        if self._settings.workers == 1:
            try:
                note_others(self._audit)
            except GerbangError as error:
                log.error("the audit log is closed without the end of that of commands: %s", error)  # noqa: TRY400
        self._audit.note({"event": "stop", "gave_up": self._failed})
        await asyncio.to_thread(self._audit.stop)

    def _services(self, parts: Parts, authenticate: Callable[[Context], Identity]) -> Callable[[aio.Server], None]:
        """Make the services, and return what adds them to a gRPC server."""
        recogniser = parts.recogniser
        parser = Parser(recogniser.model, recogniser.dimension)
        audit = self._audit
        writing = self._writing = Writing(parts.writer, audit.check if audit is not None else lambda: None)
        proposals_kept_s = self._settings.proposals_kept_days * 86400
        enrolling = Enrolling(
            parts.asking,
            Repeats(parts.store, parts.queries, parts.revisions, recogniser.defaults.verification.cosine),
            writing,
            (recogniser.model, recogniser.dimension),
            lambda: parts.gallery.in_force(recogniser.defaults.identification).everybody.cosine,
            recogniser.defaults.verification.cosine,
            proposals_kept_s,
        )
        facts = ServerFacts(
            recogniser.pack,
            recogniser.model,
            recogniser.dimension,
            recogniser.defaults,
            parts.start_time_ns,
            parts.store.epoch,
            parts.asking.chain,
            self._settings.time_zone,
        )
        # First: what can't be recorded is not answered, and the others are told of the failure only.
        recorders = () if audit is None else (Recorder(audit, recogniser.model),)
        # Last: what a caller must not learn is counted and on record.
        observer = Observers((*recorders, *self._telemetry.observers, Withholding(recogniser.defaults.fmr_at)))
        guard = Guard(lambda: self._ready, self._stopping.is_set, authenticate, observer)
        matching = MatchingServicer(parts.asking, enrolling, parser, self._drain, self._open_streams, observer)
        watchlists = WatchlistServicer(
            OfficeReads(parts.store, parts.queries),
            OfficeChanges(writing, proposals_kept_s),
            ProposalReads(parts.store, parts.queries),
            OfficeProposals(writing, recogniser.model),
            parts.gallery,
            parts.recall_check,
            facts,
        )
        return adding(guard, matching, watchlists, self._health, reflection=self._settings.reflection)
