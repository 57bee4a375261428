"""Between rows of the database and the domain's types."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from gerbang_service.domain.errors import DataDamaged
from gerbang_service.domain.faces import Quality
from gerbang_service.domain.subjects import Subject, TemplateInfo
from gerbang_service.domain.watchlists import Action, Direction, Watchlist
from gerbang_service.store.sealing.cipher import AnyCipher, place

WATCHLIST_COLUMNS = (
    "watchlist_id, title, direction, action, threshold, labels, create_time_ns, update_time_ns, revision, "
    "target_fpir, two_person_removal"
)
SUBJECT_COLUMNS = "subject_id, valid_from_ns, expire_time_ns, labels, create_time_ns, update_time_ns, revision"
TEMPLATE_COLUMNS = "template_id, model, quality, create_time_ns"
# Whole rows. lists: the keys of the lists that a subject is on, which table memberships has too: so they are sealed.
WATCHLIST_ROW = f"list_key, {WATCHLIST_COLUMNS}"
SUBJECT_ROW = f"subject_key, lists, {SUBJECT_COLUMNS}"

NOT_OURS: Final = (ValueError, TypeError, KeyError, AttributeError, OverflowError)
"""What making something of a row raises when a flipped bit has made another type, or another word, of a value."""


@contextmanager
def row_of(what: str) -> Iterator[None]:
    """Raise DataDamaged for a row that is not what Gerbang writes; not with the error's text, which may quote it."""
    try:
        yield
    except NOT_OURS:
        raise DataDamaged(f"{what}: is not what Gerbang writes") from None


_WATCHLIST_LABELS = WATCHLIST_ROW.split(", ").index("labels")
_SUBJECT_LABELS = SUBJECT_ROW.split(", ").index("labels")


# The labels of a row, the vector of a template and the seal of a token are sealed for the whole row, column by column,
# so that one that is added to it is sealed too: any change of it is found out.
def watchlist_place(row: tuple[Any, ...]) -> bytes:
    """Return what the labels of WATCHLIST_ROW are bound to: all other columns."""
    return row_place("watchlists.row", row[1], (*row[:_WATCHLIST_LABELS], *row[_WATCHLIST_LABELS + 1 :]))


def subject_place(row: tuple[Any, ...]) -> bytes:
    """Return what the labels of SUBJECT_ROW are bound to: all other columns."""
    # Much as `row_place` would: written out, since a start asks for millions of them.
    return f"subjects.row\0{row[2]}\0{row[:_SUBJECT_LABELS]}{row[_SUBJECT_LABELS + 1 :]}".encode()


def row_place(of: str, name: str, values: tuple[Any, ...]) -> bytes:
    """Return what a value is bound to that is sealed for a row. `of`: the kind of row; `values`: all but itself."""
    # As SQLite gives them back, which has no booleans, and no zero below zero.
    stored = tuple(each + 0 if isinstance(each, bool | float) else each for each in values)
    return place(of, name, ascii(stored))


def vector_place(template_id: int, subject_id: str, model: str, quality: str | None, create_time_ns: int) -> bytes:
    """Return what a template's vector is bound to."""
    # As `place` would: written out, since a start asks for millions of them.
    return f"templates.vector\0{template_id}\0{subject_id}\0{model}\0{create_time_ns}\0{quality}".encode()


def watchlist_from(row: tuple[Any, ...], cipher: AnyCipher) -> Watchlist:
    """Make a Watchlist of the columns WATCHLIST_ROW, or of those of an older database. Raises DataDamaged."""
    _, name, title, direction, action, threshold, labels, created, updated, revision, *later = row
    target, two = later or (None, 0)
    return Watchlist(
        name,
        title,
        Direction(direction),
        Action(action),
        threshold,
        labels_from(labels, watchlist_place(row), cipher),
        created,
        updated,
        revision,
        target,
        bool(two),
    )


def watchlist_values(key: int, watchlist: Watchlist, cipher: AnyCipher) -> tuple[Any, ...]:
    """Return the values of WATCHLIST_ROW."""
    threshold, target = (None if x is None else float(x) for x in (watchlist.threshold, watchlist.target_fpir))
    head = (key, watchlist.watchlist_id, watchlist.title, watchlist.direction.value, int(watchlist.action), threshold)
    times = (watchlist.create_time_ns, watchlist.update_time_ns, watchlist.revision)
    tail = (*times, target, int(watchlist.two_person_removal))
    labels = cipher.seal_text(labels_text(watchlist.labels), watchlist_place((*head, "", *tail)))
    return (*head, labels, *tail)


def subject_values(key: int, list_keys: Iterable[int], subject: Subject, cipher: AnyCipher) -> tuple[Any, ...]:
    """Return the values of SUBJECT_ROW."""
    head = (key, lists_text(list_keys), subject.subject_id, subject.valid_from_ns, subject.expire_time_ns)
    tail = (subject.create_time_ns, subject.update_time_ns, subject.revision)
    labels = cipher.seal_text(labels_text(subject.labels), subject_place((*head, "", *tail)))
    return (*head, labels, *tail)


def subject_labels(row: tuple[Any, ...], cipher: AnyCipher) -> dict[str, str]:
    """Return the labels of the columns SUBJECT_ROW. Raises DataDamaged."""
    return labels_from(row[_SUBJECT_LABELS], subject_place(row), cipher)


def subject_from(
    row: tuple[Any, ...], watchlists: Iterable[str], templates: Iterable[TemplateInfo], cipher: AnyCipher
) -> Subject:
    """Make a Subject of the columns SUBJECT_ROW, its lists and its templates. Raises DataDamaged."""
    _, _, name, valid_from, expire_time, _, created, updated, revision = row
    return Subject(
        name,
        tuple(watchlists),
        valid_from,
        expire_time,
        subject_labels(row, cipher),
        tuple(templates),
        created,
        updated,
        revision,
    )


def lists_text(list_keys: Iterable[int]) -> str:
    """Return the stored form of the keys of the lists that a subject is on."""
    return ",".join(map(str, sorted(list_keys)))


def list_keys(text: str) -> set[int]:
    """Return the keys of which `lists_text` was given. Raises NOT_OURS for anything else."""
    return {int(each) for each in text.split(",") if each}


def check_lists(subject_id: str, lists: str, known: Mapping[int, str], member_of: Collection[int]) -> None:
    """Raise DataDamaged when table memberships does not say of a subject what its own row says.

    `lists`: of its row; `known`: ids of the lists that there are, by key: who was on one that is gone may be in either;
    `member_of`: the keys that the table has.
    """
    sealed = list_keys(lists)
    for key in sorted(sealed.symmetric_difference(member_of).intersection(known)):
        only = "its own row alone has it on that list" if key in sealed else "table memberships alone has it there"
        raise DataDamaged(f"subject {subject_id}: who is on watchlist {known[key]} was changed: {only}")


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
