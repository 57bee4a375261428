"""Hypothesis strategies of messages: any of a kind, of ordinary, extreme and impossible values alike."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from rpc.wire import unit

DIMENSION = 16
_F = FieldDescriptor

# Of these, some subjects and lists are made as calls go by, so that later calls meet them.
_TEXTS = st.one_of(
    st.sampled_from(["odd-1", "odd-2", "odd-list", "", "x" * 128, "x" * 129, "no good", "../up", "line\n", "\0", "é"]),
    st.sampled_from(["00000000-0000-4000-8000-000000000001", "1", "9" * 30, "watchlists", "labels", "title", "%s"]),
    st.text(max_size=12),
)
_WHOLE = st.one_of(
    st.sampled_from([0, 1, 2, 5, -1, 100, 101, 256, 1000, 1001, 2**31 - 1, -(2**31)]), st.integers(-(2**31), 2**31 - 1)
)
_REAL = st.one_of(
    st.sampled_from(
        [0.0, -0.0, 0.5, 1.0, -1.0, 1.0000001, 1.5, float("nan"), float("inf"), -float("inf"), 1e-45, 3e38]
    ),
    st.floats(-1, 1, width=32),
)
_VECTORS = st.one_of(
    st.integers(0, 30).map(unit),
    st.lists(_REAL, min_size=DIMENSION, max_size=DIMENSION).map(lambda each: struct.pack(f"<{DIMENSION}f", *each)),
    st.binary(max_size=80),
)


def message(kind: Descriptor, depth: int = 0) -> st.SearchStrategy[Message]:
    """Return any message of a kind."""
    made = GetMessageClass(kind)
    fields = {each.name: st.one_of(st.none(), _field(each, depth)) for each in kind.fields}
    return st.fixed_dictionaries(fields).map(lambda values: _make(made, kind, values))


def _make(made: Callable[..., Message], kind: Descriptor, values: dict[str, Any]) -> Message:
    # Of a oneof the last one stays, as on the wire.
    given = {name: value for name, value in values.items() if value is not None}
    for group in kind.oneofs:
        for each in [field.name for field in group.fields if field.name in given][:-1]:
            del given[each]
    return made(**given)


def _field(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        return st.dictionaries(_TEXTS, _TEXTS, max_size=3)
    one = _value(field, depth)
    # Rarely many, as each costs its own work.
    return st.one_of(st.lists(one, max_size=3), st.lists(one, min_size=1, max_size=22)) if field.is_repeated else one


def _value(field: Any, depth: int) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - a table
    match field.type:
        case _F.TYPE_MESSAGE:
            return message(field.message_type, depth + 1) if depth < 5 else st.none()
        case _F.TYPE_ENUM:
            return st.sampled_from([*field.enum_type.values_by_number, 99, -1])
        case _F.TYPE_STRING:
            return _TEXTS
        case _F.TYPE_BYTES:
            return _VECTORS if field.name == "vector" else st.binary(max_size=40)
        case _F.TYPE_BOOL:
            return st.booleans()
        case _F.TYPE_FLOAT | _F.TYPE_DOUBLE:
            return _REAL
        case _F.TYPE_UINT32 | _F.TYPE_UINT64:
            return _WHOLE.map(abs)
        case _:
            return _WHOLE
