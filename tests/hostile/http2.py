"""HTTP/2 by hand, to say what no gRPC library would (RFC 9113; header literals as in RFC 7541, 6.2.2)."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterable
from typing import Final, Self

HEADERS, SETTINGS, PING = 1, 4, 6
_ACK, _END_STREAM, _END_HEADERS = 1, 1, 4
_DATA: Final = 0
# Setting 4, SETTINGS_INITIAL_WINDOW_SIZE: what may be sent of a stream before its receiver asks for more.
WINDOW_SIZE: Final = 4


class Http2:
    """A connection to a server at HOST:PORT, in the clear."""

    def __init__(self, address: str, settings: Iterable[tuple[int, int]] = ()) -> None:
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout=10)
        self._received = b""
        said = b"".join(struct.pack(">HI", *each) for each in settings)
        self._socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(SETTINGS, 0, 0, said))

    def call(self, path: bytes, message: bytes, stream: int = 1, metadata: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Begin a gRPC call with one message, and end the sending."""
        fields = (b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x")
        more = (b"te", b"trailers"), (b"content-type", b"application/grpc")
        block = b"".join(_literal(*each) for each in (*fields, *more, *metadata))
        body = b"\0" + struct.pack(">I", len(message)) + message
        self._socket.sendall(_frame(HEADERS, _END_HEADERS, stream, block) + _frame(_DATA, _END_STREAM, stream, body))

    def answer(self, seconds: float) -> list[int]:
        """Read for so long, answering settings and pings; return the kinds of frames that came."""
        kinds, end = [], time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and select.select([self._socket], [], [], left)[0]:
            received = self._socket.recv(65536)
            if not received:
                break
            self._received += received
            while len(self._received) >= 9 + (size := int.from_bytes(self._received[:3])):
                kind, flags, payload = self._received[3], self._received[4], self._received[9 : 9 + size]
                self._received = self._received[9 + size :]
                kinds.append(kind)
                if kind in (SETTINGS, PING) and not flags & _ACK:
                    self._socket.sendall(_frame(kind, _ACK, 0, payload if kind == PING else b""))
        return kinds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    # All are shorter than 127 bytes: one byte says how long.
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
