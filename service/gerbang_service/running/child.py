"""A process that this one looks after, whoever began it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import suppress

from gerbang_service.domain.errors import StartupError

_PR_SET_CHILD_SUBREAPER = 36  # of prctl(2)


def adopt_descendants() -> None:
    """Become the parent of what this process's descendants leave behind. Raises StartupError where that can't be."""
    able = sys.platform == "linux" and hasattr(os, "pidfd_open")
    if not able or ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise StartupError("setting workers: several need Linux 5.3 or newer, where they can be forked: say 1")


class Child:
    """A child of this process, by its id, and a stream to it. Belongs to one event loop.

    The other end of the stream is the child's standard input and output, and ends with it; the end of this one tells
    the child that this process is gone.
    """

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self._reader, self._writer = reader, writer
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._file = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._file, self._reap)

    @classmethod
    async def of(cls, pid: int, stream: socket.socket) -> Child:
        """Look after a child whose stream is this; it must not have been waited for."""
        return cls(pid, *await asyncio.open_unix_connection(sock=stream))

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._file)
        os.close(self._file)
        _, status = os.waitpid(self.pid, 0)
        self._writer.close()
        self._status.set_result(os.waitstatus_to_exitcode(status))

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._status.done()

    async def wait(self) -> int:
        """Wait for its end and return its exit status, negative for a signal."""
        return await asyncio.shield(self._status)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it has not ended."""
        if not self.ended:
            signal.pidfd_send_signal(self._file, number)

    def tell(self, message: bytes) -> None:
        """Send it something, without waiting until it reads that."""
        if not self.ended:
            self._writer.write(message)

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield what it says, until it ends."""
        with suppress(ConnectionError):
            async for line in self._reader:
                yield line
