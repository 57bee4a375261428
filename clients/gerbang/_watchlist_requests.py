"""Request messages of the watchlist office; an update changes only the fields that the caller names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask

from gerbang._choices import Choice, action_value, direction_value, measured_plan_value
from gerbang._options import ChangeOptions, SubjectFields, WatchlistChange, WatchlistFields, refuse_unknown
from gerbang._requests import ids, labels_of, subject_message, timestamp
from gerbang.v1.watchlist_pb2 import Watchlist
from gerbang.v1.watchlist_service_pb2 import (
    CreateWatchlistRequest,
    DeleteSubjectRequest,
    DeleteTemplateRequest,
    DeleteWatchlistRequest,
    ListSubjectsRequest,
    ListWatchlistsRequest,
    MeasureRecallRequest,
    UpdateSubjectRequest,
    UpdateWatchlistRequest,
)

if TYPE_CHECKING:
    from gerbang.v1.watchlist_service_pb2 import ListSubjectsResponse

R = TypeVar(
    "R",
    UpdateWatchlistRequest,
    UpdateSubjectRequest,
    DeleteWatchlistRequest,
    DeleteSubjectRequest,
    DeleteTemplateRequest,
)
# The largest that a server gives.
_PAGE = 1000


def create_watchlist_request(watchlist_id: str, fields: WatchlistFields) -> CreateWatchlistRequest:
    """Make the request; raise ValueError for an unknown choice."""
    refuse_unknown(fields, WatchlistFields.__annotations__)
    return CreateWatchlistRequest(watchlist=_watchlist(watchlist_id, fields))


def list_watchlists_request(page_token: str = "") -> ListWatchlistsRequest:
    """Make the request for the largest page there is. A server that knows no pages answers with all lists at once."""
    return ListWatchlistsRequest(page_size=_PAGE, page_token=page_token)


def update_watchlist_request(watchlist_id: str, change: WatchlistChange) -> UpdateWatchlistRequest:
    """Make the request; raise ValueError for an unknown choice or when no field is given."""
    refuse_unknown(change, WatchlistChange.__annotations__)
    request = UpdateWatchlistRequest(watchlist=_watchlist(watchlist_id, change), update_mask=_mask(_fields(change)))
    return _safe(request, change)


def update_subject_request(subject_id: str, fields: SubjectFields) -> UpdateSubjectRequest:
    """Make the request; raise ValueError for a datetime without a time zone or when nothing is changed."""
    refuse_unknown(fields, SubjectFields.__annotations__)
    add, remove = (ids(fields.get(name, ()), name) for name in ("add_watchlists", "remove_watchlists"))
    named = _fields(fields)
    request = UpdateSubjectRequest(
        subject=subject_message(subject_id, fields),
        update_mask=_mask(named) if named or not (add or remove) else None,
        add_watchlists=add,
        remove_watchlists=remove,
    )
    return _safe(request, fields)


def delete_watchlist_request(watchlist_id: str, options: ChangeOptions, *, force: bool) -> DeleteWatchlistRequest:
    """Make the request."""
    refuse_unknown(options, ChangeOptions.__annotations__)
    return _safe(DeleteWatchlistRequest(watchlist_id=watchlist_id, force=force), options)


def delete_subject_request(subject_id: str, options: ChangeOptions) -> DeleteSubjectRequest:
    """Make the request."""
    refuse_unknown(options, ChangeOptions.__annotations__)
    return _safe(DeleteSubjectRequest(subject_id=subject_id), options)


def delete_template_request(subject_id: str, template_id: str, options: ChangeOptions) -> DeleteTemplateRequest:
    """Make the request."""
    refuse_unknown(options, ChangeOptions.__annotations__)
    return _safe(DeleteTemplateRequest(subject_id=subject_id, template_id=template_id), options)


def _safe(request: R, options: ChangeOptions) -> R:
    request.request_id = options.get("request_id") or ""
    request.expected_revision = options.get("expected_revision", 0)
    request.note = options.get("note", "")
    return request


def _fields(change: SubjectFields | WatchlistChange) -> list[str]:
    """Return what an update's mask names."""
    others = {"add_watchlists", "remove_watchlists", *ChangeOptions.__annotations__}
    return [name for name in change if name not in others]


def list_subjects_request(
    watchlist: str, expires_before: datetime | None, labels: Mapping[str, str] | None, page_size: int
) -> ListSubjectsRequest:
    """Make the request for the first page; raise ValueError for a datetime without a time zone."""
    return ListSubjectsRequest(
        watchlist=watchlist,
        expires_before=timestamp(expires_before, "expires_before"),
        labels=labels_of(labels),
        page_size=page_size,
    )


def next_page(request: ListSubjectsRequest, response: ListSubjectsResponse) -> ListSubjectsRequest | None:
    """Return the request for the page after `response`, or None when it was the last."""
    if not response.next_page_token:
        return None
    following = ListSubjectsRequest()
    following.CopyFrom(request)
    following.page_token = response.next_page_token
    return following


def _watchlist(watchlist_id: str, fields: WatchlistFields) -> Watchlist:
    return Watchlist(
        watchlist_id=watchlist_id,
        title=fields.get("title", ""),
        direction=direction_value(fields.get("direction")),
        action=action_value(fields.get("action")),
        threshold=fields.get("threshold"),
        target_fpir=fields.get("target_fpir"),
        two_person_removal=fields.get("two_person_removal", False),
        labels=labels_of(fields.get("labels")),
    )


def _mask(paths: list[str]) -> FieldMask:
    # On the wire it would be FIELD_INVALID.
    if not paths:
        raise ValueError("an update names at least one field")
    return FieldMask(paths=paths)


def recall_request(sample: int, similarities: Sequence[float], plans: Sequence[Choice]) -> MeasureRecallRequest:
    """Return a MeasureRecallRequest. Raise ValueError for an unknown plan."""
    values = [measured_plan_value(each) for each in plans]
    return MeasureRecallRequest(sample=sample, similarities=similarities, plans=values)
