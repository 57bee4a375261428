"""Plain HTTP for monitoring: /metrics, /livez, /readyz, in a thread and an event loop of their own.

Asked by machines that the operator chose, and by whoever else reaches the port: a connection carries one request, has
a few seconds for it, and there are only so many, so that slow clients hold nobody up. One more thread makes the answers
that may wait for a disk: whether the process lives is told without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus

from gerbang_service.configuration.addresses import check_host, split_address
from gerbang_service.domain.errors import StartupError

log = logging.getLogger(__name__)

# Of one connection, seconds: to send its request, to be answered, and to take the answer.
_PATIENCE_S = 5.0
# Open at once. Two probes and a scrape or two are usual.
_MOST_CONNECTIONS = 32
_LARGEST_REQUEST = 16 * 1024
_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    kind: str = _TEXT


@dataclass(frozen=True, slots=True)
class Page:
    """How a path is answered, given the request's Accept header. `waits`: it may take long, so not in the loop."""

    answer: Callable[[str], Answer]
    waits: bool = False


class PageServer:
    """Serves `pages` from the constructor's return until `stop`. Raises StartupError when it can't listen."""

    def __init__(self, listen: str, pages: Mapping[str, Page]) -> None:
        self._pages = pages
        self._slow = ThreadPoolExecutor(1, "slow pages")
        self._open: dict[asyncio.StreamWriter, None] = {}  # in order of their coming
        host, port = split_address(listen, "metrics_listen")
        check_host(listen)
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family)
        except OSError as error:
            # Python adds the address, which is said already.
            why = (error.strerror or str(error)).partition(" (while ")[0]
            raise StartupError(f"can't listen on {listen} for metrics: {why}") from error
        bound = self._socket.getsockname()[1]
        self.address = f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}"
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), name="pages")
        self._thread.start()

    def stop(self) -> None:
        """Close the port and all connections, and end the threads; blocks until what is asked is answered."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._loop.close()
        self._slow.shutdown(cancel_futures=True)

    async def _run(self) -> None:
        server = await asyncio.start_server(self._connected, sock=self._socket, limit=_LARGEST_REQUEST)
        await self._stopping.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= _MOST_CONNECTIONS:
            # Whoever has been here longest, not who comes: a probe that was turned away would have the server killed.
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.transport.abort()
        self._open[writer] = None
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._serve(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever it was, has gone or is too slow
        except Exception:
            log.exception("a request for a page could not be answered")
        finally:
            self._open.pop(writer, None)
            # Not close(): that would wait for ever for who does not read.
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *headers = head.split("\r\n")
        method, _, rest = line.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        accept = next((each[7:].strip() for each in headers if each.lower().startswith("accept:")), "")
        answer = await self._answer(method, path, accept)
        status = answer.status
        fields = (
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Content-Type: {answer.kind}",
            f"Content-Length: {len(answer.body)}",
            "Connection: close",
            "\r\n",
        )
        writer.write("\r\n".join(fields).encode())
        if method != "HEAD":
            writer.write(answer.body)
        writer.write_eof()
        # The other side closes once it has all of it; an abort before that could take the end away from it.
        with contextlib.suppress(ConnectionError):
            while await reader.read(_LARGEST_REQUEST):
                pass

    async def _answer(self, method: str, path: str, accept: str) -> Answer:
        page = self._pages.get(path)
        if page is None:
            return Answer(f"ask for {', '.join(self._pages)}\n".encode(), HTTPStatus.NOT_FOUND)
        if method not in ("GET", "HEAD"):
            return Answer(b"only GET\n", HTTPStatus.METHOD_NOT_ALLOWED)
        if not page.waits:
            return page.answer(accept)
        try:
            async with asyncio.timeout(0.8 * _PATIENCE_S):
                return await asyncio.get_running_loop().run_in_executor(self._slow, page.answer, accept)
        except TimeoutError:
            return Answer(b"no answer in time: is the disk stuck?\n", HTTPStatus.SERVICE_UNAVAILABLE)
