# ruff: noqa: ASYNC109 - a gRPC deadline reaches the server, so that it stops too; asyncio.timeout does not
"""What all clients are: a channel to one server, deadlines, errors with reasons; sync and asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from google.protobuf.message import Message

from gerbang._channel import DEFAULT_TARGET, GATE_TIMEOUT_S, channel_options
from gerbang._error_mapping import closed_during_call, from_rpc_error, refused
from gerbang._requests import extract_request
from gerbang._target import is_local
from gerbang.v1.matching_service_pb2_grpc import MatchingServiceStub

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from gerbang._choices import Choice
    from gerbang._samples import Probe
    from gerbang.v1.matching_service_pb2 import ExtractResponse
    from gerbang.v1.matching_service_pb2_grpc import MatchingServiceAsyncStub

Item = TypeVar("Item")
Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class Client:
    """Where to connect and how long to wait: what the sync and the asyncio clients have in common."""

    #: Seconds that a call may take when neither the call nor the constructor says otherwise.
    DEFAULT_TIMEOUT_S = GATE_TIMEOUT_S

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout: float | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | None = None,
        insecure: bool = False,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        """Prepare a connection; nothing is sent before the first call, where a missing server shows.

        target: `HOST:PORT`, or any gRPC target.
        timeout: seconds that a unary call may take, retries included, > 0. None: DEFAULT_TIMEOUT_S.
        credentials: from `gerbang.tls`. None: nothing is encrypted, for loopback and unix sockets only.
        token: an API token, sent with every call. It needs credentials: anybody on the way could read and use it.
        insecure: True: faces may be sent to another machine in the clear, where anybody on the way can read them and
            answer in the server's place.
        options: gRPC channel options that take the place of this client's own of the same name.
        """
        self.target = target
        self.timeout = _positive(self.DEFAULT_TIMEOUT_S if timeout is None else timeout)
        if credentials is None and not insecure and not is_local(target):
            raise ValueError(
                f"{target} is not on this machine, and without credentials faces would be sent there in the clear: "
                "give credentials, from gerbang.tls, or say insecure=True"
            )
        if token is not None:
            if credentials is None:
                raise ValueError("a token is sent over TLS only: give credentials too")
            # Never quoted. gRPC fails in ways of its own for what no header may be, such as a file's last newline.
            if not (token.isascii() and token.isprintable() and token and " " not in token):
                raise ValueError("a token is printable ASCII without spaces or line ends, and this one is not")
        self._credentials = credentials
        self._metadata = None if token is None else (("authorization", f"Bearer {token}"),)
        self._options = channel_options(options)
        self._closed = False
        self._prepare()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.target}{' (closed)' if self._closed else ''}>"

    def _prepare(self) -> None:
        """Make what is made with the client and not with its first call."""

    def _deadline(self, timeout: float | None, default: float | None) -> float | None:
        """Return the seconds that a call may take. Raise ValueError if not positive, or if closed."""
        if self._closed:
            raise ValueError(f"this {type(self).__name__} is closed")
        return default if timeout is None else _positive(timeout)


class SyncClient(Client):
    """A client for threads. Safe to share between them; not across a fork: make it in the child process."""

    def _prepare(self) -> None:
        if self._credentials is None:
            self._channel = grpc.insecure_channel(self.target, self._options)
        else:
            self._channel = grpc.secure_channel(self.target, self._credentials, self._options)
        self._matching = MatchingServiceStub(self._channel)

    def close(self) -> None:
        """Close the connection. Calls in flight fail with Cancelled; closing again does nothing."""
        if not self._closed:
            self._closed = True
            self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def extract(
        self, image: Probe, *, face_choice: Choice | None = None, timeout: float | None = None
    ) -> ExtractResponse:
        """Make a template of an image, so that 2 kB can be sent instead of a photo. Nothing is kept.

        image: bytes or a pathlib.Path. face_choice: "largest" (default) or "only". timeout: seconds.
        Raises ImageRejected, FaceRejected, NoFacePack or another GerbangError.
        """
        return self._call(self._matching.Extract, extract_request(image, face_choice), timeout)

    def _call(
        self, method: grpc.UnaryUnaryMultiCallable[Request, Response], request: Request, timeout: float | None
    ) -> Response:
        try:
            return method(request, timeout=self._deadline(timeout, self.timeout), metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target) from error

    def _stream(
        self,
        method: grpc.StreamStreamMultiCallable[Request, Response],
        requests: Iterable[Request],
        timeout: float | None,
    ) -> Iterator[Response]:
        """Send requests from a thread of gRPC's while answers are read here; leaving early ends the call.

        gRPC would log an exception of the request iterator and report UNKNOWN. Kept aside instead, it ends
        the sending, and is raised after the answers to what was sent.
        """
        deadline = self._deadline(timeout, None)
        failures: list[Exception] = []

        def sent() -> Iterator[Request]:
            try:
                yield from requests
            except Exception as error:  # noqa: BLE001 - raised by the reader
                failures.append(error)

        call = method(sent(), timeout=deadline, metadata=self._metadata)
        try:
            yield from call
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target) from error
        finally:
            call.cancel()
        if failures:
            raise failures[0]


class AsyncClient(Client):
    """A client for asyncio. Belongs to the event loop of its first call; tasks may share it."""

    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        # Made at the first call and not in the constructor: it binds to the loop that runs at that moment.
        if self._credentials is None:
            return grpc.aio.insecure_channel(self.target, self._options)
        return grpc.aio.secure_channel(self.target, self._credentials, self._options)

    @cached_property
    def _matching(self) -> MatchingServiceAsyncStub:
        return MatchingServiceStub(self._channel)

    async def close(self) -> None:
        """Close the connection. Calls in flight fail with Cancelled; closing again does nothing."""
        if not self._closed:
            self._closed = True
            if "_channel" in self.__dict__:
                await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def extract(
        self, image: Probe, *, face_choice: Choice | None = None, timeout: float | None = None
    ) -> ExtractResponse:
        """Make a template of an image; see SyncClient.extract."""
        return await self._call(self._matching.Extract, extract_request(image, face_choice), timeout)

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
    ) -> Response:
        try:
            return await method(request, timeout=self._deadline(timeout, self.timeout), metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target) from error
        except asyncio.CancelledError:
            self._raise_unless_cancelled()
            raise

    async def _stream(
        self,
        method: grpc.aio.StreamStreamMultiCallable[Request, Response],
        requests: AsyncIterable[Request],
        timeout: float | None,
    ) -> AsyncIterator[Response]:
        """Send requests from a task of gRPC's while answers are read here; as SyncClient._stream."""
        deadline = self._deadline(timeout, None)
        failures: list[Exception] = []

        async def sent() -> AsyncIterator[Request]:
            try:
                async for request in requests:
                    yield request
            except Exception as error:  # noqa: BLE001 - raised by the reader
                failures.append(error)

        call = method(sent(), timeout=deadline, metadata=self._metadata)
        try:
            async for response in call:
                yield response
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target) from error
        except asyncio.CancelledError:
            self._raise_unless_cancelled()
            raise
        finally:
            call.cancel()
        if failures:
            raise failures[0]

    def _raise_unless_cancelled(self) -> None:
        """Raise what a CancelledError of grpc.aio means when the caller's task was not cancelled.

        It reports a closed client and a call refused by the server's core so too, and a task that nobody cancelled must
        not end as if it were.
        """
        task = asyncio.current_task()
        if task is not None and not task.cancelling():
            raise (closed_during_call(self.target) if self._closed else refused(self.target)) from None


async def as_async(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncIterator[Item]:
    """Yield the items of either kind of iterable. A plain one runs in the event loop: it must not block."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


def _positive(timeout: float) -> float:
    if not timeout > 0:
        raise ValueError(f"a timeout is a positive number of seconds, not {timeout}")
    return timeout
