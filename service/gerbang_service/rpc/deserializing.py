"""Bytes of a request -> a message, within bounds: parsing runs in the event loop, so a refusal must cost little."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from gerbang_service.domain.errors import FieldInvalid

# A batch of 256 probes on a hundred lists each has fewer. An empty submessage takes two bytes on the wire and some
# seventy in memory: 64 MiB of them would take gigabytes, and seconds in which nobody is answered.
MAX_FIELDS: Final = 32_768
# Of a request that carries no sample or image; the largest valid one has a tenth of this.
_MAX_BARE_BYTES: Final = 1024 * 1024
_BEARERS: Final = frozenset({"gerbang.v1.Sample", "gerbang.v1.ExtractRequest"})

Parse: TypeAlias = Callable[[bytes], Message]


class Unreadable:
    """What a request is whose bytes can't be one; `error` says why. The guard refuses the call with it."""

    def __init__(self, error: FieldInvalid) -> None:
        self.error = error


class Bounded(grpc.GenericRpcHandler):
    """Wraps the handlers of a service so that none of its requests is parsed beyond bounds, and none raises."""

    def __init__(self, handlers: grpc.GenericRpcHandler, bound: Callable[[Parse], Callable[[bytes], object]]) -> None:
        """`bound` makes a bounded deserializer of a message class's FromString."""
        self._handlers = handlers
        self._bound = bound
        self._known: dict[str, Any] = {}

    def service(self, details: grpc.HandlerCallDetails) -> Any:  # noqa: ANN401 - as gRPC's own
        """Return the handler of a method, its deserializer a bounded one; None for a method of other services."""
        name = details.method
        if name not in self._known:
            handler: Any = self._handlers.service(details)
            if handler is None:
                return None  # not remembered: names come from outside
            self._known[name] = handler._replace(request_deserializer=self._bound(handler.request_deserializer))
        return self._known[name]


def deserializer(parse: Parse) -> Callable[[bytes], Message | Unreadable]:
    """Return a bounded one for the message class that `parse` (its FromString) belongs to."""
    kind: Any = parse(b"").DESCRIPTOR
    return partial(_deserialize, parse, kind)


def _deserialize(parse: Parse, kind: Descriptor, data: bytes) -> Message | Unreadable:
    if len(data) > _MAX_BARE_BYTES and not _carries_samples(kind):
        return Unreadable(
            FieldInvalid("request", f"has {len(data)} bytes, the limit is {_MAX_BARE_BYTES}", limit=_MAX_BARE_BYTES)
        )
    # A field has two bytes at least.
    if len(data) > 2 * MAX_FIELDS and _exceeds(data, kind):
        return Unreadable(FieldInvalid("request", f"has more than {MAX_FIELDS} fields", limit=MAX_FIELDS))
    try:
        return parse(data)
    except DecodeError:
        return Unreadable(FieldInvalid("request", f"is not a well-formed {kind.full_name}"))


def _exceeds(data: bytes, kind: Descriptor) -> bool:
    """Tell whether a message has more than MAX_FIELDS fields, those of its submessages included."""
    count = 0
    parts = [(0, len(data), kind)]
    try:
        while parts:
            at, end, of = parts.pop()
            nested = _submessages(of)
            while at < end:
                tag, at = _varint(data, at)
                count += 1
                if count > MAX_FIELDS:
                    return True
                match tag & 7:
                    case 0:
                        _, at = _varint(data, at)
                    case 1:
                        at += 8
                    case 5:
                        at += 4
                    case 2:
                        size, at = _varint(data, at)
                        if tag >> 3 in nested:
                            parts.append((at, min(at + size, end), nested[tag >> 3]))
                        at += size
                    case _:  # the ends of a group, whose fields are counted as they come
                        pass
    except IndexError:
        return False  # it breaks off: the parser refuses it
    return False


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = data[at]
    at += 1
    if value < 0x80:
        return value, at
    value &= 0x7F
    shift = 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError  # no varint: the parser refuses it


@cache
def _submessages(kind: Descriptor) -> Mapping[int, Descriptor]:
    return {each.number: each.message_type for each in kind.fields if each.message_type is not None}


@cache
def _carries_samples(kind: Descriptor) -> bool:
    return kind.full_name in _BEARERS or any(map(_carries_samples, _submessages(kind).values()))
