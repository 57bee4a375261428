"""The nursery, from which the supervisor has its workers forked."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from contextlib import suppress

from gerbang_service.configuration.settings import Settings
from gerbang_service.running.child import Child
from gerbang_service.running.keeping import NotBegun
from gerbang_service.running.newborn import LONGEST_ANSWER, REQUEST


class Forking:
    """Begins the nursery and, once that is ready, workers. Belongs to one event loop."""

    def __init__(self, settings: Settings, lock: int) -> None:
        """`lock`: the file that holds the data folder as long as any process has it open."""
        self._settings = settings
        self._lock = lock
        self._ready = asyncio.Event()
        self._turn = asyncio.Lock()
        self._control: socket.socket | None = None

    def note(self, *, ready: bool) -> None:
        """Note whether the nursery is ready."""
        if ready:
            self._ready.set()
        else:
            self._ready.clear()

    async def nursery(self) -> Child:
        """Begin a nursery, in the place of the last one, which has ended. Raises OSError."""
        if self._control is not None:
            # Who still waits for an answer of the last one has none. Not closed: it may be just about to read that.
            with suppress(OSError):
                self._control.shutdown(socket.SHUT_RDWR)
        self._control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        ours, stream = socket.socketpair()
        with control, stream:
            pid = self._begun(control.fileno(), stream.fileno())
        child = await Child.of(pid, ours)
        child.tell(self._settings.to_json().encode() + b"\n")
        return child

    def _begun(self, control: int, stream: int) -> int:
        process = subprocess.Popen(  # noqa: S603 - nothing of a caller's is in it
            [sys.executable, "-m", "gerbang_service.running.nursery", str(control)],
            stdin=stream,
            stdout=stream,
            # The folder stays locked as long as any process lives, whatever becomes of this one.
            pass_fds=(self._lock, control),
            # A pool of threads would keep it from forking; NumPy reads this when it is imported.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
        process.returncode = 0  # it is waited for by its id
        return process.pid

    async def worker(self, settings: Settings) -> Child:
        """Have a worker forked, as soon as there is a nursery for that. Raises NotBegun, OSError."""
        async with self._turn:
            ours, stream = socket.socketpair()
            with stream:
                pid = await self._forked(stream)
            child = await Child.of(pid, ours)
        # Not before it is known here: one that nobody looks after has no settings, and ends.
        child.tell(settings.to_json().encode() + b"\n")
        return child

    async def _forked(self, stream: socket.socket) -> int:
        while True:
            await self._ready.wait()
            control = self._control
            assert control is not None  # noqa: S101 - it is ready
            answer = b""
            with suppress(OSError):  # it died just then
                socket.send_fds(control, [REQUEST], [stream.fileno()])
                answer = await asyncio.get_running_loop().sock_recv(control, LONGEST_ANSWER)
            if answer.isdigit():
                return int(answer)
            if answer:
                raise NotBegun(answer.decode(errors="replace"))
            # It died; until that is noted, it seems to be ready.
            self._ready.clear()
