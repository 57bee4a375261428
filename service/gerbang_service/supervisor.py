"""Several processes on one port: started, watched, replaced when they die, and stopped together.

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
from contextlib import suppress

from gerbang_service.domain.errors import StartupError
from gerbang_service.process import EXIT_REFUSED
from gerbang_service.settings import Settings, split_address
from gerbang_service.store.database import DataFolder

log = logging.getLogger(__name__)

# A worker that was never ready, or lives shorter than this, seconds, died of its start; so many of those in a row, and
# the server ends.
_SHORT_LIFE_S = 10.0
_SHORT_LIVES = 5
# What a worker may need, beyond the grace for calls in flight, to end, seconds.
_ENDING_S = 10.0


class Supervisor:
    """Runs `settings.workers` workers. Belongs to one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = asyncio.Event()
        self._listening = [asyncio.Event() for _ in range(settings.workers)]
        self._ready = [asyncio.Event() for _ in range(settings.workers)]

    async def run(self) -> None:
        """Serve until SIGTERM or Ctrl-C; prints "listening on HOST:PORT" and, when all workers are, "ready".

        Raises StartupError when it can't start, or its workers keep dying.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stopping.set)
        folder = DataFolder(self._settings.data)
        port = None
        try:
            port = _reserve_port(self._settings.listen)
            await self._run_workers(folder, port)
        finally:
            if port is not None:
                port.close()
            folder.close()

    async def _run_workers(self, folder: DataFolder, port: socket.socket) -> None:
        host, _ = split_address(self._settings.listen)
        shown = f"[{host}]" if ":" in host else host
        address = f"{shown}:{port.getsockname()[1]}"
        own = dataclasses.replace(self._settings, listen=address)
        told = own.to_json() + "\n"
        try:
            async with asyncio.TaskGroup() as tasks:
                announcing = tasks.create_task(self._announce(address))
                for number in range(self._settings.workers):
                    tasks.create_task(self._keep_alive(number, told.encode(), folder.lock))
                await self._stopping.wait()
                announcing.cancel()
        except* StartupError as errors:
            raise errors.exceptions[0] from None

    async def _announce(self, address: str) -> None:
        for events, line in ((self._listening, f"listening on {address}"), (self._ready, "ready")):
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
            lived = time.monotonic() - started
            if status == EXIT_REFUSED:
                raise StartupError(f"worker {number} refused to start: see its message above")
            log.error("worker %d ended with status %d after %.1f s; starting another", number, status, lived)
            # Loading a large gallery alone may take longer.
            short = lived < _SHORT_LIFE_S or not self._ready[number].is_set()
            short_lives = short_lives + 1 if short else 0
            if short_lives >= _SHORT_LIVES:
                raise StartupError(f"worker {number} died {short_lives} times in a row soon after its start")

    async def _one_life(self, number: int, told: bytes, lock: int) -> int:
        """Run a worker to its end, and return its exit status, negative for a signal."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gerbang_service.worker",
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
            heard = asyncio.ensure_future(self._hear(number, process.stdout))
            stopping = asyncio.ensure_future(self._stopping.wait())
            ended = asyncio.ensure_future(process.wait())
            await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not ended.done():
                await self._end(number, process)
            heard.cancel()
            return await ended
        finally:
            if process.returncode is None:  # a sibling's failure ends all
                await self._end(number, process)

    async def _hear(self, number: int, stdout: asyncio.StreamReader) -> None:
        async for line in stdout:
            if line.startswith(b"listening on "):
                self._listening[number].set()
            elif line.strip() == b"ready":
                self._ready[number].set()

    async def _end(self, number: int, process: asyncio.subprocess.Process) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), self._settings.drain_grace_s + _ENDING_S)
        except TimeoutError:
            log.error("worker %d did not end in time and is killed", number)  # noqa: TRY400 - the text says it all
            process.kill()
            await process.wait()


def _reserve_port(listen: str) -> socket.socket:
    """Bind the port for processes that share it, without listening; raise StartupError when anyone has it."""
    host, port = split_address(listen)
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
