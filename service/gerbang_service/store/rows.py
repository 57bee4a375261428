"""Between rows of the database and the domain's types."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from gerbang_service.domain.subjects import Quality, Subject, TemplateInfo
from gerbang_service.domain.watchlists import Action, Direction, Watchlist

WATCHLIST_COLUMNS = "watchlist_id, title, direction, action, threshold, labels, create_time_ns, update_time_ns"
SUBJECT_COLUMNS = "subject_id, valid_from_ns, expire_time_ns, labels, create_time_ns, update_time_ns"
TEMPLATE_COLUMNS = "template_id, model, quality, create_time_ns"


def watchlist_from(row: tuple[Any, ...]) -> Watchlist:
    """Make a Watchlist of the columns WATCHLIST_COLUMNS."""
    name, title, direction, action, threshold, labels, created, updated = row
    return Watchlist(name, title, Direction(direction), Action(action), threshold, json.loads(labels), created, updated)


def watchlist_values(watchlist: Watchlist) -> tuple[Any, ...]:
    """Return the values of WATCHLIST_COLUMNS."""
    return (
        watchlist.watchlist_id,
        watchlist.title,
        watchlist.direction.value,
        int(watchlist.action),
        watchlist.threshold,
        labels_text(watchlist.labels),
        watchlist.create_time_ns,
        watchlist.update_time_ns,
    )


def subject_from(row: tuple[Any, ...], watchlists: Iterable[str], templates: Iterable[TemplateInfo]) -> Subject:
    """Make a Subject of the columns SUBJECT_COLUMNS, its lists and its templates."""
    name, valid_from, expire_time, labels, created, updated = row
    return Subject(
        name,
        tuple(watchlists),
        valid_from,
        expire_time,
        json.loads(labels),
        tuple(templates),
        created,
        updated,
    )


def template_from(row: tuple[Any, ...]) -> TemplateInfo:
    """Make a TemplateInfo of the columns TEMPLATE_COLUMNS."""
    template_id, model, quality, created = row
    return TemplateInfo(template_id, model, created, None if quality is None else Quality(*json.loads(quality)))


def quality_text(quality: Quality | None) -> str | None:
    """Return the stored form of a quality."""
    if quality is None:
        return None
    return json.dumps([quality.inter_eye_px, quality.sharpness, quality.brightness, quality.yaw, quality.roll])


def labels_text(labels: Any) -> str:  # noqa: ANN401 - any mapping of strings
    """Return the stored form of labels."""
    return json.dumps(dict(labels), ensure_ascii=False, sort_keys=True)
