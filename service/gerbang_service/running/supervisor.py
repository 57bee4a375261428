"""Several processes on one port: started, looked after, replaced when they die or hang, and stopped together.

The supervisor has the data folder and the port, and serves nothing itself. It imports neither gRPC nor the networks.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import operator
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

from gerbang_service.audit.log import AuditLog
from gerbang_service.audit.serving import close_log, compare, note_others, note_start, open_log, worker_folder
from gerbang_service.configuration.addresses import check_host, split_address
from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import StartupError
from gerbang_service.running.child import Child, adopt_descendants
from gerbang_service.running.forking import Forking
from gerbang_service.running.keeping import Kept
from gerbang_service.running.worker import NURSERY_GONE, NURSERY_READY
from gerbang_service.store.sqlite.data_folder import DataFolder
from gerbang_service.store.sqlite.vault import key_for

log = logging.getLogger(__name__)


# One that has said nothing so often, at one look a beat, hangs. A worker would hold its connections for ever, and the
# turn to write, if it has that, which the others wait for. The nursery may be long about what others wrote in bulk.
_SILENT_WORKER, _SILENT_NURSERY = 10, 30


class Supervisor:
    """Runs `settings.workers` workers. Belongs to one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = asyncio.Event()
        self._workers: list[Kept] = []

    async def run(self) -> None:
        """Serve until SIGTERM or Ctrl-C; prints "listening on HOST:PORT" and, when all workers are, "ready".

        Raises StartupError when it can't start, or its workers keep dying.
        """
        adopt_descendants()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)
        key = key_for(self._settings.data, self._settings.key_file) if self._settings.encryption else None
        folder = DataFolder(self._settings.data, key)
        try:
            audit = self._audited(folder)
        except BaseException:
            folder.close()
            raise
        wanted = self._settings.listen, self._settings.token_listen
        try:
            with ExitStack() as ports:
                listen, tokens = (
                    _address(each, ports.enter_context(_reserve_port(each))) if each else "" for each in wanted
                )
                await self._run_workers(folder, dataclasses.replace(self._settings, listen=listen, token_listen=tokens))
        finally:
            if audit is not None:
                close_log(audit, self._settings, folder, orderly=not any(each.died for each in self._workers))
            folder.close()
        log.info("stopped")

    def _audited(self, folder: DataFolder) -> AuditLog | None:
        """Open the log of the server as a whole; those of the calls are its workers'."""
        audit = open_log(self._settings, folder.cipher, alone=False)
        if audit is None:
            return None
        try:
            compare(audit, self._settings, folder.cipher, folder.revision())
            note_others(audit)
        except BaseException:
            audit.stop()
            raise
        note_start(audit, self._settings)
        return audit

    async def _run_workers(self, folder: DataFolder, settings: Settings) -> None:
        forking = Forking(settings, folder.lock)
        nursery = self._kept("nursery", forking.nursery, lambda: self._note_nursery(nursery, forking), _SILENT_NURSERY)
        self._workers = [
            self._worker(number, forking, nursery, _for_worker(settings, number)) for number in range(settings.workers)
        ]
        try:
            async with asyncio.TaskGroup() as tasks:
                announcing = tasks.create_task(self._announce(settings))
                for each in (nursery, *self._workers):
                    tasks.create_task(each.keep())
                await self._stopping.wait()
                announcing.cancel()
        except* StartupError as errors:
            raise errors.exceptions[0] from None

    def _worker(self, number: int, forking: Forking, nursery: Kept, settings: Settings) -> Kept:
        worker = self._kept(
            f"worker {number}",
            lambda: forking.worker(settings),
            lambda: _tell_of_nursery(worker, nursery),
            _SILENT_WORKER,
        )
        return worker

    def _kept(
        self, name: str, begin: Callable[[], Awaitable[Child]], on_change: Callable[[], object], silent_beats: int
    ) -> Kept:
        return Kept(
            name,
            begin,
            self._stopping,
            others_serve=lambda: any(each.ready.is_set() for each in self._workers),
            on_change=on_change,
            silent_beats=silent_beats,
            grace_s=self._settings.drain_grace_s,
        )

    def _note_nursery(self, nursery: Kept, forking: Forking) -> None:
        """Have workers forked when there is a nursery, and tell those that there are, for their metrics."""
        forking.note(ready=nursery.ready.is_set())
        for each in self._workers:
            _tell_of_nursery(each, nursery)

    async def _announce(self, settings: Settings) -> None:
        bound = f"listening on {settings.listen}"
        if settings.token_listen:
            bound += f"\nlistening for tokens on {settings.token_listen}"
        for event, line in ((operator.attrgetter("listening"), bound), (operator.attrgetter("ready"), "ready")):
            for each in self._workers:
                await event(each).wait()
            print(line, flush=True)


def _tell_of_nursery(worker: Kept, nursery: Kept) -> None:
    worker.tell(NURSERY_READY if nursery.ready.is_set() else NURSERY_GONE)


def _for_worker(settings: Settings, number: int) -> Settings:
    """Return the settings of one worker: each has an audit log of its own, and a port for its metrics."""
    settings = dataclasses.replace(settings, audit_folder=worker_folder(settings, number))
    if number:
        # One is enough to erase who has expired.
        settings = dataclasses.replace(settings, expired_kept_days=None)
    if not settings.metrics_listen:
        return settings
    host, port = split_address(settings.metrics_listen)
    shown = f"[{host}]" if ":" in host else host
    own = f"{shown}:{port + number if port else 0}"
    log.info("worker %d: metrics_listen is %s", number, own)
    return dataclasses.replace(settings, metrics_listen=own)


def _address(listen: str, port: socket.socket) -> str:
    host, _ = split_address(listen)
    return f"{f'[{host}]' if ':' in host else host}:{port.getsockname()[1]}"


def _reserve_port(listen: str) -> socket.socket:
    """Bind the port for processes that share it, without listening; raise StartupError when anyone has it."""
    host, port = split_address(listen)
    check_host(listen)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if port:
            # A port that others share among themselves would be shared with them too, without a word.
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        reserved = socket.socket(family, kind, protocol)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(address)
    except OSError as error:
        raise StartupError(f"can't listen on {listen}: is the port taken? ({error.strerror})") from error
    return reserved
