"""Fields of the wire that several requests have, checked: subjects, lists, times, masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from google.protobuf import field_mask_pb2, timestamp_pb2

from gerbang.v1 import subject_pb2
from gerbang_service.domain.errors import FieldInvalid
from gerbang_service.domain.identifiers import MAX_WATCHLISTS_PER_SUBJECT, check_id, check_labels
from gerbang_service.domain.subjects import Subject, check_validity

# 9999-12-31T23:59:59Z, the latest time that google.protobuf.Timestamp allows, is past what int64 nanoseconds hold.
_LATEST_S = 9_223_372_035
ALL_FIELDS = "*"
"""The path of an update mask that stands for all fields."""


def subject(message: subject_pb2.Subject, *, id_required: bool = True) -> Subject:
    """Read a Subject; output-only fields are ignored."""
    if message.subject_id or id_required:
        check_id("subject.subject_id", message.subject_id)
    parsed = Subject(
        subject_id=message.subject_id,
        watchlists=tuple(sorted(set(lists("subject.watchlists", message.watchlists)))),
        valid_from_ns=subject_time(message, "valid_from"),
        expire_time_ns=subject_time(message, "expire_time"),
        labels=check_labels("subject.labels", message.labels),
    )
    check_validity(parsed)
    return parsed


def subject_time(message: subject_pb2.Subject, field: str) -> int | None:
    """Read a time of a Subject, ns since the epoch; None where it is absent."""
    if not message.HasField(field):  # type: ignore[arg-type]  # one of the two literals
        return None
    return time_ns(f"subject.{field}", getattr(message, field))


def time_ns(field: str, value: timestamp_pb2.Timestamp) -> int:
    """Return a time as ns since the epoch."""
    if not (-_LATEST_S <= value.seconds <= _LATEST_S and 0 <= value.nanos < 1_000_000_000):
        raise FieldInvalid(field, "must be between 1678 and 2262")
    return value.seconds * 1_000_000_000 + value.nanos


def lists(field: str, names: Sequence[str]) -> list[str]:
    """Check ids of watchlists. Their number is that of the request, repeats included: the audit log has no more."""
    if len(names) > MAX_WATCHLISTS_PER_SUBJECT:
        raise FieldInvalid(field, f"at most {MAX_WATCHLISTS_PER_SUBJECT} lists", count=len(names))
    return [check_id(field, name) for name in names]


def revision(field: str, value: int) -> int:
    """Return a revision, which is not negative."""
    if value < 0:
        raise FieldInvalid(field, "must not be negative", value=value)
    return value


def masked(mask: field_mask_pb2.FieldMask, values: Mapping[str, tuple[str, Callable[[], Any]]]) -> dict[str, Any]:
    """Return the fields that an update names, by the names that they have in the domain; `*` is all of them.

    Raises FieldInvalid for a mask that names none: who forgot it would clear what they did not mean to.
    """
    if len(mask.paths) > len(values):
        raise FieldInvalid("update_mask", f"at most {len(values)} fields", count=len(mask.paths))
    paths: Iterable[str] = values if list(mask.paths) == [ALL_FIELDS] else mask.paths
    unknown = [path for path in paths if path not in values]
    if unknown or not mask.paths:
        raise FieldInvalid("update_mask", f"must name what to change, of {', '.join(values)}; * alone is all of them")
    return {values[path][0]: values[path][1]() for path in paths}
