"""Between rows of the database and the domain's types."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from gerbang_service.domain.errors import DataDamaged
from gerbang_service.domain.faces import Quality
from gerbang_service.domain.subjects import Subject, TemplateInfo
from gerbang_service.domain.watchlists import Action, Direction, Watchlist
from gerbang_service.store.sealing.cipher import AnyCipher, place

WATCHLIST_COLUMNS = "watchlist_id, title, direction, action, threshold, labels, create_time_ns, update_time_ns"
SUBJECT_COLUMNS = "subject_id, valid_from_ns, expire_time_ns, labels, create_time_ns, update_time_ns"
TEMPLATE_COLUMNS = "template_id, model, quality, create_time_ns"
# With what was added since: the columns above are also those of older databases, and what labels are sealed for.
WATCHLIST_ROW = f"{WATCHLIST_COLUMNS}, revision"
SUBJECT_ROW = f"{SUBJECT_COLUMNS}, revision"

NOT_OURS: Final = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""What making something of a row raises when a flipped bit has made another type, or another word, of a value."""


@contextmanager
def row_of(what: str) -> Iterator[None]:
    """Raise DataDamaged for a row that is not what Gerbang writes; not with the error's text, which may quote it."""
    try:
        yield
    except NOT_OURS:
        raise DataDamaged(f"{what}: is not what Gerbang writes") from None


# The labels of a row, and the vector of a template, are sealed for the whole row: any change of it is found out.
def watchlist_place(row: tuple[Any, ...]) -> bytes:
    """Return what the labels of WATCHLIST_COLUMNS are bound to."""
    name, title, direction, action, threshold, _, created, updated = row
    return place("watchlists.labels", name, direction, action, threshold, created, updated, title)


def subject_place(row: tuple[Any, ...]) -> bytes:
    """Return what the labels of SUBJECT_COLUMNS are bound to."""
    name, valid_from, expire_time, _, created, updated = row
    # As `place` would: written out, since a start asks for millions of them.
    return f"subjects.labels\0{name}\0{valid_from}\0{expire_time}\0{created}\0{updated}".encode()


def vector_place(template_id: int, subject_id: str, model: str, quality: str | None, create_time_ns: int) -> bytes:
    """Return what a template's vector is bound to."""
    # As `place` would: written out, since a start asks for millions of them.
    return f"templates.vector\0{template_id}\0{subject_id}\0{model}\0{create_time_ns}\0{quality}".encode()


def watchlist_from(row: tuple[Any, ...], cipher: AnyCipher) -> Watchlist:
    """Make a Watchlist of the columns WATCHLIST_COLUMNS, or WATCHLIST_ROW. Raises DataDamaged."""
    (name, title, direction, action, threshold, labels, created, updated), revision = row[:8], row[8:]
    opened = labels_from(labels, watchlist_place(row[:8]), cipher)
    return Watchlist(name, title, Direction(direction), Action(action), threshold, opened, created, updated, *revision)


def watchlist_values(watchlist: Watchlist, cipher: AnyCipher) -> tuple[Any, ...]:
    """Return the values of WATCHLIST_COLUMNS."""
    # SQLite stores -0.0 as 0.0, which would not be what was sealed.
    threshold = None if watchlist.threshold is None else float(watchlist.threshold) + 0.0
    head = (watchlist.watchlist_id, watchlist.title, watchlist.direction.value, int(watchlist.action), threshold)
    times = (watchlist.create_time_ns, watchlist.update_time_ns)
    labels = cipher.seal_text(labels_text(watchlist.labels), watchlist_place((*head, "", *times)))
    return (*head, labels, *times)


def subject_values(subject: Subject, cipher: AnyCipher) -> tuple[Any, ...]:
    """Return the values of SUBJECT_COLUMNS."""
    head = (subject.subject_id, subject.valid_from_ns, subject.expire_time_ns)
    times = (subject.create_time_ns, subject.update_time_ns)
    labels = cipher.seal_text(labels_text(subject.labels), subject_place((*head, "", *times)))
    return (*head, labels, *times)


def subject_labels(row: tuple[Any, ...], cipher: AnyCipher) -> dict[str, str]:
    """Return the labels of the columns SUBJECT_COLUMNS. Raises DataDamaged."""
    return labels_from(row[3], subject_place(row), cipher)


def subject_from(
    row: tuple[Any, ...], watchlists: Iterable[str], templates: Iterable[TemplateInfo], cipher: AnyCipher
) -> Subject:
    """Make a Subject of the columns SUBJECT_ROW, its lists and its templates. Raises DataDamaged."""
    name, valid_from, expire_time, _, created, updated, revision = row
    return Subject(
        name,
        tuple(watchlists),
        valid_from,
        expire_time,
        subject_labels(row[:-1], cipher),
        tuple(templates),
        created,
        updated,
        revision,
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
    """Return labels as text, as it is sealed."""
    if not labels:
        return "{}"
    return json.dumps(dict(labels), ensure_ascii=False, sort_keys=True)


def labels_from(stored: str, place: bytes, cipher: AnyCipher) -> dict[str, str]:
    """Return stored labels. Raises DataDamaged."""
    return labels_of(cipher.open_text(stored, place))


def labels_of(text: str) -> dict[str, str]:
    """Return labels of their text. Raises DataDamaged."""
    if text == "{}":
        return {}
    try:
        labels = json.loads(text)
    except ValueError:
        labels = None
    if not isinstance(labels, dict):
        raise DataDamaged("labels are not JSON: damaged or tampered with")
    return labels
