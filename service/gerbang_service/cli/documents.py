"""Answers as JSON for programs: protobuf's JSON mapping, with numbers where a program expects numbers."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from gerbang import GerbangError

_DIGITS = 6  # float32 holds about seven; the last one is noise

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT64,
}
_FLOATS = {FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE}


def document(message: Message) -> dict[str, Any]:
    """Return the message as a dict: proto field names, fields without a value included unless they can be absent.

    Differs from protobuf's JSON mapping in two ways, both still accepted by its parsers: 64-bit integers are numbers
    (ours stay far below 2^53), and floats have six digits.
    """
    tree = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    descriptor: Descriptor = message.DESCRIPTOR  # type: ignore[assignment]  # upb's own class, with the same face
    return _tidy(tree, descriptor)


def error_document(error: GerbangError) -> dict[str, Any]:
    """Return a failure as a dict: `reason` of the error table, `message`, gRPC status `code`, and what was measured."""
    return {
        "reason": error.reason,
        "message": error.message,
        "code": error.code.name,
        "metadata": dict(error.metadata),
    }


def _tidy(tree: dict[str, Any], descriptor: Descriptor) -> dict[str, Any]:
    fields = descriptor.fields_by_name
    return {name: _tidy_field(value, fields[name]) for name, value in tree.items()}


def _tidy_field(value: Any, field: FieldDescriptor) -> Any:  # noqa: ANN401 - a JSON tree
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return value
    if isinstance(value, list):
        return [_tidy_one(one, field) for one in value]
    return _tidy_one(value, field)


def _tidy_one(value: Any, field: FieldDescriptor) -> Any:  # noqa: ANN401 - a JSON tree
    if isinstance(value, dict) and field.message_type is not None:
        return _tidy(value, field.message_type)
    if field.cpp_type in _INTEGERS:
        return int(value)
    if field.cpp_type in _FLOATS and isinstance(value, int | float):
        return float(f"{value:.{_DIGITS}g}")
    return value
