"""Request messages of the watchlist office; an update changes only the fields that the caller names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from google.protobuf.field_mask_pb2 import FieldMask

from gerbang._choices import Choice, action_value, direction_value, measured_plan_value
from gerbang._options import SubjectFields, WatchlistFields, refuse_unknown
from gerbang._requests import labels_of, subject_message
from gerbang.v1.watchlist_pb2 import Watchlist
from gerbang.v1.watchlist_service_pb2 import (
    CreateWatchlistRequest,
    ListSubjectsRequest,
    MeasureRecallRequest,
    UpdateSubjectRequest,
    UpdateWatchlistRequest,
)

if TYPE_CHECKING:
    from gerbang.v1.watchlist_service_pb2 import ListSubjectsResponse


def create_watchlist_request(watchlist_id: str, fields: WatchlistFields) -> CreateWatchlistRequest:
    """Make the request; raise ValueError for an unknown choice."""
    return CreateWatchlistRequest(watchlist=_watchlist(watchlist_id, fields))


def update_watchlist_request(watchlist_id: str, fields: WatchlistFields) -> UpdateWatchlistRequest:
    """Make the request; raise ValueError for an unknown choice or when no field is given."""
    return UpdateWatchlistRequest(watchlist=_watchlist(watchlist_id, fields), update_mask=_mask(list(fields)))


def update_subject_request(subject_id: str, fields: SubjectFields) -> UpdateSubjectRequest:
    """Make the request; raise ValueError for a datetime without a time zone or when no field is given."""
    refuse_unknown(fields, SubjectFields.__annotations__)
    return UpdateSubjectRequest(subject=subject_message(subject_id, fields), update_mask=_mask(list(fields)))


def next_page(request: ListSubjectsRequest, response: ListSubjectsResponse) -> ListSubjectsRequest | None:
    """Return the request for the page after `response`, or None when it was the last."""
    if not response.next_page_token:
        return None
    return ListSubjectsRequest(
        watchlist=request.watchlist, page_size=request.page_size, page_token=response.next_page_token
    )


def _watchlist(watchlist_id: str, fields: WatchlistFields) -> Watchlist:
    refuse_unknown(fields, WatchlistFields.__annotations__)
    return Watchlist(
        watchlist_id=watchlist_id,
        title=fields.get("title", ""),
        direction=direction_value(fields.get("direction")),
        action=action_value(fields.get("action")),
        threshold=fields.get("threshold"),
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
