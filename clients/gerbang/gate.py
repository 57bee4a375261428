# ruff: noqa: ASYNC109 - a gRPC deadline reaches the server, so that it stops too; asyncio.timeout does not
"""The client of a gate, which asks whether a traveller is on a watchlist."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Unpack

from gerbang._clients import AsyncClient, SyncClient, as_async
from gerbang._requests import Search

if TYPE_CHECKING:
    from gerbang._options import IdentifyOptions
    from gerbang._samples import Probe
    from gerbang.v1.matching_service_pb2 import IdentifyRequest, IdentifyResponse


class GateClient(SyncClient):
    """Identifies travellers. Thread-safe: one for a whole gate controller is enough; close it, or use `with`.

    `GateClient(target="127.0.0.1:50051", *, timeout=5.0, credentials=None, token=None, insecure=False, options=())`:
    see `Client`.
    Every call may raise any GerbangError; TypeError, ValueError and OSError are about its arguments and come
    before anything is sent.
    """

    def identify(
        self, probe: Probe, *, timeout: float | None = None, **options: Unpack[IdentifyOptions]
    ) -> IdentifyResponse:
        """Search the watchlists for one face. No candidate is a normal answer: `decision` is DECISION_NO_HIT.

        `hit` is True where the traveller is to be stopped. It is False of a DECISION_SILENT_HIT too, whose candidates
        are for the officers: show nothing of it.

        probe: see Probe. timeout: seconds. Other keywords: see IdentifyOptions.
        Raises FaceRejected, ImageRejected, Busy, Unavailable (after retries), DeadlineExceeded or another
        GerbangError.
        """
        return self._call(self._matching.Identify, Search(options).request(probe), timeout)

    def identify_batch(
        self, probes: Iterable[Probe], *, timeout: float | None = None, **options: Unpack[IdentifyOptions]
    ) -> list[IdentifyResponse]:
        """Search for 1 to 256 faces in one call: a passenger list, a crowd. As many answers, in order.

        An item that could not be answered has its `error` set: ask `gerbang.error_of`. timeout: seconds for
        all together; photos take a server's core about 15 ms each.
        Raises GerbangError only when the call as a whole fails.
        """
        return list(self._call(self._matching.IdentifyBatch, Search(options).batch(probes), timeout).responses)

    def identify_stream(
        self, probes: Iterable[Probe], *, timeout: float | None = None, **options: Unpack[IdentifyOptions]
    ) -> Iterator[IdentifyResponse]:
        """Search for faces as they come, over one open call: for a camera, or thousands of photos.

        Answers come as each is ready, not necessarily in order: `sequence` is the number of the probe, from
        0. An item that could not be answered has its `error` set (`gerbang.error_of`) and the stream goes on.
        `probes` is read ahead of the answers, in a thread of gRPC's. An exception that it raises, or a wrong
        probe, ends the sending and is raised after the last answer. Leaving the loop early ends the call. Not
        retried.

        timeout: seconds for the whole stream. None: no limit.
        Raises GerbangError when the call as a whole fails.
        """
        search = Search(options)
        requests = (search.request(probe, number) for number, probe in enumerate(probes))
        return self._stream(self._matching.IdentifyStream, requests, timeout)


class AsyncGateClient(AsyncClient):
    """GateClient for asyncio: the same calls with the same arguments, answers and errors, awaited.

    For one event loop; tasks may share it. Reading a file given as a path blocks the loop for as long as it
    takes.
    """

    async def identify(
        self, probe: Probe, *, timeout: float | None = None, **options: Unpack[IdentifyOptions]
    ) -> IdentifyResponse:
        """Search the watchlists for one face; see GateClient.identify."""
        return await self._call(self._matching.Identify, Search(options).request(probe), timeout)

    async def identify_batch(
        self, probes: Iterable[Probe], *, timeout: float | None = None, **options: Unpack[IdentifyOptions]
    ) -> list[IdentifyResponse]:
        """Search for 1 to 256 faces in one call; see GateClient.identify_batch."""
        request = Search(options).batch(probes)
        return list((await self._call(self._matching.IdentifyBatch, request, timeout)).responses)

    def identify_stream(
        self,
        probes: AsyncIterable[Probe] | Iterable[Probe],
        *,
        timeout: float | None = None,
        **options: Unpack[IdentifyOptions],
    ) -> AsyncIterator[IdentifyResponse]:
        """Search for faces as they come; see GateClient.identify_stream.

        Use with `async for`. A plain iterable is advanced in the event loop, so it must not block. To leave
        the loop early, wrap it in `contextlib.aclosing`: else the call ends only when the iterator is
        collected.
        """
        return self._stream(self._matching.IdentifyStream, _numbered(Search(options), probes), timeout)


async def _numbered(search: Search, probes: AsyncIterable[Probe] | Iterable[Probe]) -> AsyncIterator[IdentifyRequest]:
    number = 0
    async for probe in as_async(probes):
        yield search.request(probe, number)
        number += 1
