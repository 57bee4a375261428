"""What the rows of a manifest say: each cell checked, whole before anything is sent."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Final

from gerbang_service.cli.made_ids import is_id
from gerbang_service.cli.manifest.tables import Line, ManifestError, Table
from gerbang_service.cli.moments import day_of, explained, moment_of
from gerbang_service.domain.errors import FieldInvalid
from gerbang_service.domain.identifiers import MAX_WATCHLISTS_PER_SUBJECT, check_labels

COLUMNS: Final = ("subject_id", "photo", "watchlists", "valid_from", "valid_until", "on_existing")
"""The columns of a manifest, in the order of an export; those of labels follow."""
LABEL: Final = "label."
"""What a label's key has before it as the name of a column."""
RESULT_COLUMNS: Final = ("outcome", "reason", "detail", "template_id", "duplicates")
"""What a result file adds to a manifest."""
ENROLLED, ALREADY, REJECTED = "enrolled", "already", "rejected"
_DONE: Final = (ENROLLED, ALREADY)
_ON_EXISTING: Final = ("reject", "add", "replace")
_LISTS_BETWEEN: Final = ";"


@dataclass(frozen=True, slots=True)
class Row:
    """A row, checked by itself. None and empty: the row does not say.

    `done`: a result file says that this row was enrolled: it is not sent again.
    """

    number: int
    subject_id: str
    photo: Path | None
    watchlists: tuple[str, ...]
    valid_from: datetime | None
    expire_time: datetime | None
    on_existing: str
    labels: dict[str, str]
    done: bool


@dataclass(frozen=True, slots=True)
class Said:
    """The rows of a manifest, and `notes` on what its dates were taken for."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def read_rows(table: Table, path: Path, zone: tzinfo | None) -> Said:
    """Check the rows of a manifest, which is `path`. `zone`: of dates without a time, None for this machine's.

    Photos are looked for beside the manifest, and nowhere else. Raises ManifestError with every fault there is.
    """
    faults = _unknown(table.columns)
    if not faults and not table.lines:
        faults = ["has no rows"]
    if faults:
        raise ManifestError(path, faults)
    reading = _Reading(path.resolve().parent, zone)
    rows = [row for line in table.lines if (row := reading.row(line)) is not None]
    faults = [*reading.faults, *_twice(rows)]
    if faults:
        raise ManifestError(path, faults)
    return Said(tuple(rows), tuple(reading.notes()))


def _unknown(columns: Sequence[str]) -> list[str]:
    known = {*COLUMNS, *RESULT_COLUMNS}
    unknown = [each for each in columns if each not in known and not (each.startswith(LABEL) and each != LABEL)]
    faults = [f"unknown column {each!r}: there are {', '.join(COLUMNS)} and {LABEL}NAME" for each in unknown]
    return faults if "subject_id" in columns else [*faults, "has no column subject_id"]


@dataclass(slots=True)
class _Reading:
    """Reads row by row, and gathers what is wrong with them."""

    folder: Path
    zone: tzinfo | None
    faults: list[str] = field(default_factory=list)
    dates: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    past: list[int] = field(default_factory=list)

    def row(self, line: Line) -> Row | None:
        """Return a row, or None for one with faults."""
        cells, before = line.cells, len(self.faults)

        def read(column: str, reader: Callable[[str], object]) -> object:
            text = cells.get(column, "")
            try:
                return reader(text if column == "photo" else text.strip())
            except (ValueError, OSError, FieldInvalid) as error:
                self.faults.append(f"row {line.number}: {column}: {error}")
                return None

        subject_id, photo = read("subject_id", _subject_id), read("photo", self._photo)
        watchlists, on_existing = read("watchlists", _watchlists), read("on_existing", _on_existing)
        begin, end = read("valid_from", self._begin), read("valid_until", self._end)
        labels = read("labels", lambda _: _labels(cells))
        if isinstance(begin, datetime) and isinstance(end, datetime) and begin >= end:
            self.faults.append(f"row {line.number}: valid_until is not after valid_from")
        if len(self.faults) > before:
            return None
        done = cells.get("outcome", "") in _DONE
        if isinstance(end, datetime) and end <= datetime.now(UTC) and not done:
            self.past.append(line.number)
        return Row(line.number, subject_id, photo, watchlists, begin, end, on_existing, labels, done)  # type: ignore[arg-type]  # what the readers return

    def _photo(self, text: str) -> Path | None:
        if not text:
            return None
        if "\0" in text:
            raise ValueError("has a character that no file's name has")
        spellings = dict.fromkeys((text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD"))))
        found = next((path for each in spellings if (path := self.folder / each).exists()), self.folder / text)
        if not found.resolve().is_relative_to(self.folder):
            raise ValueError(f"{text!r} is not in the manifest's folder, {self.folder}")
        if not found.exists():
            raise ValueError(f"there is no {text!r} in {self.folder}" + (": write / for \\" if "\\" in text else ""))
        if not found.is_file():
            raise ValueError(f"{text!r} is no file")
        return found

    def _begin(self, text: str) -> datetime | None:
        return self._moment("valid_from", text)

    def _end(self, text: str) -> datetime | None:
        return self._moment("valid_until", text, to_its_end=True)

    def _moment(self, column: str, text: str, *, to_its_end: bool = False) -> datetime | None:
        if not text:
            return None
        moment = moment_of(text, self.zone, to_its_end=to_its_end)
        if (day := day_of(text)) is not None:
            self.dates[column].append(explained(day, moment, self.zone, to_its_end=to_its_end))
        return moment

    def notes(self) -> Iterator[str]:
        """Say what dates were taken for, and whose end has passed."""
        for column, said in self.dates.items():
            yield f"{column} {said[0]}" + (f"; {len(said) - 1} more likewise" if len(said) > 1 else "")
        if self.past:
            yield f"valid_until is in the past in {_rows(self.past)}: Identify does not find them"


def _subject_id(text: str) -> str:
    if not text:
        raise ValueError("is empty: it says whose row this is")
    if not is_id(text):
        raise ValueError(f"{text!r} is no id: 1 to 128 of [A-Za-z0-9._:-]; a name is for {LABEL}name")
    return text


def _watchlists(text: str) -> tuple[str, ...]:
    names = tuple(sorted({each.strip() for each in text.split(_LISTS_BETWEEN)} - {""}))
    for each in names:
        if not is_id(each):
            raise ValueError(f"{each!r} is no id of a list; several are separated by {_LISTS_BETWEEN}")
    if len(names) > MAX_WATCHLISTS_PER_SUBJECT:
        raise ValueError(f"at most {MAX_WATCHLISTS_PER_SUBJECT} lists")
    return names


def _on_existing(text: str) -> str:
    if text and text not in _ON_EXISTING:
        raise ValueError(f"{text!r} is none of {', '.join(_ON_EXISTING)}")
    return text


def _labels(cells: Mapping[str, str]) -> dict[str, str]:
    labels = {name.removeprefix(LABEL): text for name, text in cells.items() if name.startswith(LABEL)}
    return check_labels("labels", labels)


def _twice(rows: Sequence[Row]) -> list[str]:
    """Tell of rows that say the same: of one subject and photo, or of one subject without photo."""
    same: dict[tuple[str, Path | None], list[int]] = defaultdict(list)
    for row in rows:
        same[row.subject_id, row.photo].append(row.number)
    return [
        f"{_rows(numbers)}: {subject_id} is there twice with {photo.name if photo else 'no photo'}"
        for (subject_id, photo), numbers in same.items()
        if len(numbers) > 1
    ]


def _rows(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return f"row{'s' if len(numbers) > 1 else ''} {shown}{more}"
