"""Requests of WatchlistService -> the domain's types; every field is checked here, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

from google.protobuf import field_mask_pb2

from gerbang.v1 import subject_pb2, watchlist_pb2
from gerbang.v1 import watchlist_service_pb2 as pb
from gerbang_service.asking.office import Wanted
from gerbang_service.asking.recall import RecallQuestion
from gerbang_service.changing.safeguards import Safeguards
from gerbang_service.changing.subjects import SubjectChange
from gerbang_service.domain.errors import FieldInvalid
from gerbang_service.domain.identifiers import (
    check_id,
    check_labels,
    check_note,
    check_request_id,
    check_target_fpir,
    check_threshold,
    check_title,
)
from gerbang_service.domain.questions import Plan
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.rpc.enums import ACTIONS, DIRECTIONS, PLANS, word
from gerbang_service.rpc.fields import lists, masked, revision, subject, subject_time, time_ns

MAX_PAGE = 1000
_DEFAULT_PAGE = 100
_MAX_RECALL_SAMPLE = 10_000
_DEFAULT_RECALL_SAMPLE = 100
_MAX_RECALL_SIMILARITIES = 16
_DEFAULT_RECALL_SIMILARITIES = (0.3, 0.4, 0.5, 0.6)


class Safeguarded(Protocol):
    """A request of a change that exists already, with what makes it safe."""

    request_id: str
    expected_revision: int
    note: str


def safeguards(request: Safeguarded) -> Safeguards:
    """Read what makes a change safe to repeat, and safe from a stale view."""
    return Safeguards(
        check_request_id(request.request_id),
        revision("expected_revision", request.expected_revision),
        note=check_note("note", request.note),
    )


def subject_change(request: pb.UpdateSubjectRequest) -> SubjectChange:
    """Read what an update changes of a subject."""
    add, remove = (_lists(each, getattr(request, each)) for each in ("add_watchlists", "remove_watchlists"))
    if both := sorted(set(add).intersection(remove)):
        raise FieldInvalid("remove_watchlists", f"{both[0]} is in add_watchlists too")
    mask = request.update_mask
    # Adding or removing lists is a change without any field.
    fields = _subject_fields(request.subject, mask) if mask.paths or not (add or remove) else {}
    if not fields:
        check_id("subject.subject_id", request.subject.subject_id)
    if (add or remove) and "watchlists" in fields:
        raise FieldInvalid("update_mask", "names watchlists: then add_watchlists and remove_watchlists must be empty")
    return SubjectChange(fields, add, remove)


def _lists(field: str, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(lists(field, names))))


def _subject_fields(message: subject_pb2.Subject, mask: field_mask_pb2.FieldMask) -> dict[str, Any]:
    # The validity as a whole is checked against what is stored, by the operation.
    bare = subject_pb2.Subject(subject_id=message.subject_id, watchlists=message.watchlists, labels=message.labels)
    parsed = subject(bare)
    values = {
        "watchlists": ("watchlists", lambda: parsed.watchlists),
        "valid_from": ("valid_from_ns", lambda: subject_time(message, "valid_from")),
        "expire_time": ("expire_time_ns", lambda: subject_time(message, "expire_time")),
        "labels": ("labels", lambda: parsed.labels),
    }
    return masked(mask, values)


def watchlist(message: watchlist_pb2.Watchlist) -> Watchlist:
    """Read a Watchlist; output-only fields are ignored."""
    threshold = message.threshold if message.HasField("threshold") else None
    target = message.target_fpir if message.HasField("target_fpir") else None
    return Watchlist(
        watchlist_id=check_id("watchlist.watchlist_id", message.watchlist_id),
        title=check_title("watchlist.title", message.title),
        direction=word("watchlist.direction", message.direction, DIRECTIONS),
        action=word("watchlist.action", message.action, ACTIONS),
        threshold=None if threshold is None else check_threshold("watchlist.threshold", threshold),
        labels=check_labels("watchlist.labels", message.labels),
        target_fpir=None if target is None else check_target_fpir("watchlist.target_fpir", target),
        two_person_removal=message.two_person_removal,
    )


def watchlist_changes(message: watchlist_pb2.Watchlist, mask: field_mask_pb2.FieldMask) -> dict[str, Any]:
    """Return the fields of a Watchlist that an update changes, with their new values."""
    parsed = watchlist(message)
    names = ("title", "direction", "action", "threshold", "labels", "target_fpir", "two_person_removal")
    return masked(mask, {name: (name, partial(getattr, parsed, name)) for name in names})


def recall(request: pb.MeasureRecallRequest) -> RecallQuestion:
    """Read a MeasureRecallRequest."""
    if not 0 <= request.sample <= _MAX_RECALL_SAMPLE:
        raise FieldInvalid("sample", f"must be 0 to {_MAX_RECALL_SAMPLE}", value=request.sample)
    if len(request.similarities) > _MAX_RECALL_SIMILARITIES or not all(0 < each < 1 for each in request.similarities):
        raise FieldInvalid("similarities", f"at most {_MAX_RECALL_SIMILARITIES}, each above 0 and below 1")
    # First its length: each costs a measurement of the whole gallery.
    if len(request.plans) > len(Plan) or len(set(request.plans)) < len(request.plans):
        raise FieldInvalid("plans", "must name each plan once at most", count=len(request.plans))
    plans = [word("plans", each, PLANS) for each in request.plans]
    return RecallQuestion(
        request.sample or _DEFAULT_RECALL_SAMPLE,
        tuple(request.similarities) or _DEFAULT_RECALL_SIMILARITIES,
        plans or list(Plan),
    )


def wanted(request: pb.ListSubjectsRequest) -> Wanted:
    """Read which subjects a ListSubjectsRequest asks for."""
    return Wanted(
        watchlist_id=check_id("watchlist", request.watchlist) if request.watchlist else "",
        ended_by_ns=time_ns("expires_before", request.expires_before) if request.HasField("expires_before") else None,
        labels=check_labels("labels", request.labels),
    )


def page_size(value: int) -> int:
    """Return how many subjects a page has."""
    return lists_page_size(value) or _DEFAULT_PAGE


def lists_page_size(value: int) -> int | None:
    """Return how many watchlists a page has; None: all, for clients that know no pages."""
    if not 0 <= value <= MAX_PAGE:
        raise FieldInvalid("page_size", f"must be 0 to {MAX_PAGE}", value=value)
    return value or None


def template_id(value: str) -> int:
    """Read a template's id; one that no server ever gave out is FieldInvalid."""
    return _number("template_id", value)


def proposal_id(field: str, value: str) -> int:
    """Read a proposal's id; one that no server ever gave out is FieldInvalid."""
    return _number(field, value)


def _number(field: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise FieldInvalid(field, "is not an id of this server's")
    return int(value)
