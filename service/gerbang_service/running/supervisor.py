"""Several processes on one port: started, looked after, replaced when they die or hang, and stopped together.

The supervisor has the data folder and the port, and serves nothing itself. It imports neither gRPC nor the networks.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal
import socket
import sys
import time
from contextlib import ExitStack, suppress

from gerbang_service.audit.log import AuditLog
from gerbang_service.audit.serving import close_log, compare, note_start, note_workers, open_log, worker_folder
from gerbang_service.configuration.addresses import check_host, split_address
from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import StartupError
from gerbang_service.running.process import BEATS_EVERY_S, EXIT_REFUSED
from gerbang_service.store.sqlite.data_folder import DataFolder
from gerbang_service.store.sqlite.vault import key_for

log = logging.getLogger(__name__)

# A worker that was never ready, or lives shorter than this, seconds, died of its start; so many of those in a row, and
# the server ends.
_SHORT_LIFE_S = 10.0
_SHORT_LIVES = 5
# While others serve, one that refuses to start is tried again so often, seconds.
_REFUSED_AGAIN_S = 10.0
# A worker that has said nothing so often, at one look a beat, hangs. It would hold its connections for ever, and the
# turn to write, if it has that, which the others wait for.
_SILENT_BEATS = 10
# What a worker may need, beyond the grace for calls in flight, to end, seconds.
_ENDING_S = 10.0


class Supervisor:
    """Runs `settings.workers` workers. Belongs to one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = asyncio.Event()
        self._orderly = True
        self._listening = [asyncio.Event() for _ in range(settings.workers)]
        self._ready = [asyncio.Event() for _ in range(settings.workers)]
        # Looks at a worker since it last said something.
        self._silent = [0] * settings.workers

    async def run(self) -> None:
        """Serve until SIGTERM or Ctrl-C; prints "listening on HOST:PORT" and, when all workers are, "ready".

        Raises StartupError when it can't start, or its workers keep dying.
        """
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
                close_log(audit, self._settings, folder, orderly=self._orderly)
            folder.close()
        log.info("stopped")

    def _audited(self, folder: DataFolder) -> AuditLog | None:
        """Open the log of the server as a whole; those of the calls are its workers'."""
        audit = open_log(self._settings, folder.cipher, alone=False)
        if audit is None:
            return None
        try:
            compare(audit, self._settings, folder.cipher, folder.revision())
            note_workers(audit)
        except BaseException:
            audit.stop()
            raise
        note_start(audit, self._settings)
        return audit

    async def _run_workers(self, folder: DataFolder, settings: Settings) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                announcing = tasks.create_task(self._announce(settings))
                for number in range(self._settings.workers):
                    told = _for_worker(settings, number).to_json() + "\n"
                    tasks.create_task(self._keep_alive(number, told.encode(), folder.lock))
                await self._stopping.wait()
                announcing.cancel()
        except* StartupError as errors:
            raise errors.exceptions[0] from None

    async def _announce(self, settings: Settings) -> None:
        bound = f"listening on {settings.listen}"
        if settings.token_listen:
            bound += f"\nlistening for tokens on {settings.token_listen}"
        for events, line in ((self._listening, bound), (self._ready, "ready")):
            for event in events:
                await event.wait()
            print(line, flush=True)

    async def _keep_alive(self, number: int, told: bytes, lock: int) -> None:
        short_lives = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            self._ready[number].clear()
            status = await self._one_life(number, told, lock)
            if self._stopping.is_set():
                return
            self._orderly = False
            lived = time.monotonic() - started
            # Loading a large gallery alone may take longer.
            short = lived < _SHORT_LIFE_S or not self._ready[number].is_set()
            self._ready[number].clear()
            short_lives = short_lives + 1 if short else 0
            if status != EXIT_REFUSED and short_lives < _SHORT_LIVES:
                log.error("worker %d ended with status %d after %.1f s; starting another", number, status, lived)
            elif any(each.is_set() for each in self._ready):
                # A disk that is full, a key that was changed: what keeps this one from starting is no reason to stop
                # those that serve.
                log.critical("worker %d can't be started (status %d); the others serve on", number, status)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _REFUSED_AGAIN_S)
            elif status == EXIT_REFUSED:
                raise StartupError(f"worker {number} refused to start: see its message above")
            else:
                raise StartupError(f"worker {number} died {short_lives} times in a row soon after its start")

    async def _one_life(self, number: int, told: bytes, lock: int) -> int:
        """Run a worker to its end, and return its exit status, negative for a signal."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gerbang_service.running.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # The folder stays locked as long as any worker lives, whatever becomes of this process.
            pass_fds=(lock,),
            # Ctrl-C is for the supervisor, who passes it on.
            start_new_session=True,
        )
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        log.info("worker %d is process %d", number, process.pid)
        try:
            with suppress(ConnectionError):
                process.stdin.write(told)
                await process.stdin.drain()
            begun = asyncio.Event()
            heard = asyncio.ensure_future(self._hear(number, process.stdout, begun))
            looked_after = asyncio.ensure_future(self._kill_when_it_hangs(number, process, begun))
            stopping = asyncio.ensure_future(self._stopping.wait())
            ended = asyncio.ensure_future(process.wait())
            await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            looked_after.cancel()
            if not ended.done():
                await self._end(number, process)
            heard.cancel()
            return await ended
        finally:
            if process.returncode is None:  # a sibling's failure ends all
                await self._end(number, process)

    async def _hear(self, number: int, stdout: asyncio.StreamReader, begun: asyncio.Event) -> None:
        async for line in stdout:
            begun.set()
            self._silent[number] = 0
            if line.startswith(b"listening on "):
                self._listening[number].set()
            elif line.strip() == b"ready":
                self._ready[number].set()

    async def _kill_when_it_hangs(self, number: int, process: asyncio.subprocess.Process, begun: asyncio.Event) -> None:
        """Kill a worker whose event loop has not turned for too long, so that it is replaced.

        Looks are counted, not seconds: when this process itself was stopped, the workers have lost nothing.
        """
        await begun.wait()
        self._silent[number] = 0
        while self._silent[number] < _SILENT_BEATS:
            await asyncio.sleep(BEATS_EVERY_S)
            self._silent[number] += 1
        log.critical(
            "worker %d, process %d, has not answered for %.0f s and is killed",
            number,
            process.pid,
            _SILENT_BEATS * BEATS_EVERY_S,
        )
        process.kill()

    async def _end(self, number: int, process: asyncio.subprocess.Process) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), self._settings.drain_grace_s + _ENDING_S)
        except TimeoutError:
            log.error("worker %d did not end in time and is killed", number)  # noqa: TRY400 - the text says it all
            process.kill()
            await process.wait()


def _for_worker(settings: Settings, number: int) -> Settings:
    """Return the settings of one worker: each has an audit log of its own, and a port for its metrics."""
    settings = dataclasses.replace(settings, audit_folder=worker_folder(settings, number))
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
