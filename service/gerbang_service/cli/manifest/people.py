"""From the rows of a manifest to people: what the rows of one subject say together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from gerbang_service.cli.enrolments import Enrolment, Terms
from gerbang_service.cli.manifest.rows import Row
from gerbang_service.cli.manifest.tables import ManifestError
from gerbang_service.domain.errors import FieldInvalid
from gerbang_service.domain.identifiers import check_labels

T = TypeVar("T")


def people_of(rows: Sequence[Row], path: Path, given: Terms) -> list[Enrolment]:
    """Return the people of whom rows are left to do, each with the photos of those rows.

    `given`: what is said for all; its `on_existing` counts where no row says it. An empty cell says nothing: what
    counts is what the subject's other rows say. Who has a photo that was enrolled before is there by this manifest:
    what is left of them is added to it.

    Raises ManifestError when the rows of a subject contradict each other.
    """
    of_subject: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of_subject[row.subject_id].append(row)
    faults: list[str] = []
    people = []
    for subject_id, own in of_subject.items():
        left = [row for row in own if not row.done]
        if not left:
            continue
        begun = any(row.done and row.photo is not None for row in own)
        try:
            terms = replace(
                given,
                watchlists=_one("watchlists", own, lambda row: row.watchlists) or (),
                valid_from=_one("valid_from", own, lambda row: row.valid_from),
                expire_time=_one("valid_until", own, lambda row: row.expire_time),
                labels=_labels(own),
                on_existing="add"
                if begun
                else _one("on_existing", left, lambda row: row.on_existing) or given.on_existing,
            )
            if terms.valid_from and terms.expire_time and terms.valid_from >= terms.expire_time:
                raise ValueError("valid_until is not after valid_from")  # noqa: TRY301 - told with the others
        except (ValueError, FieldInvalid) as error:
            faults.append(f"{subject_id}: {error}")
            continue
        people.append(Enrolment(subject_id, tuple(row.photo for row in left if row.photo is not None), terms))
    if faults:
        raise ManifestError(path, faults)
    return people


def _one(column: str, rows: Iterable[Row], said: Callable[[Row], T | None]) -> T | None:
    """Return what some rows say of a column, None where none says anything. Raises ValueError where two disagree."""
    first: dict[T, Row] = {}
    for row in rows:
        if value := said(row):
            first.setdefault(value, row)
    if len(first) > 1:
        one, other, *_ = first.values()
        raise ValueError(f"rows {one.number} and {other.number} have different {column}")
    return next(iter(first), None)


def _labels(rows: Sequence[Row]) -> dict[str, str]:
    said: dict[str, Row] = {}
    for row in rows:
        for key, value in row.labels.items():
            first = said.setdefault(key, row)
            if first.labels[key] != value:
                raise ValueError(f"rows {first.number} and {row.number} have different label.{key}")
    return check_labels("labels", {key: row.labels[key] for key, row in said.items()})
