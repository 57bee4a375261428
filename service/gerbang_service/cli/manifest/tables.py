"""Rows in files: CSV or JSON Lines, by the file's suffix; every fault is told by its row."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

CSV_SUFFIXES: Final = frozenset({".csv", ".tsv"})
JSON_SUFFIXES: Final = frozenset({".jsonl", ".ndjson"})
_SHOWN: Final = 20  # faults


class ManifestError(ValueError):
    """A manifest that can't be taken as it is: `faults` say why, each with its row. Nothing was sent."""

    def __init__(self, path: Path, faults: Sequence[str]) -> None:
        lines = [*faults[:_SHOWN], *([f"... and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else [])]
        super().__init__("\n  ".join([f"{path} can't be taken as it is; nothing was sent:", *lines]))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Line:
    """One row as it is written. `number`: as spreadsheets count, the header is row 1; in JSON Lines, of the line.

    `cells`: by column; what is not said is not there. In CSV that is an empty cell; JSON can say that it is empty.
    """

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file, and its columns in their order. `delimiter`: what is between them in CSV."""

    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    delimiter: str = ","


def is_json(path: Path) -> bool:
    """Tell whether a file of this name is JSON Lines, and not CSV. Raises ManifestError for another suffix."""
    suffix = path.suffix.lower()
    if suffix not in CSV_SUFFIXES | JSON_SUFFIXES:
        raise ManifestError(path, ["its name must end with .csv, or with .jsonl for JSON Lines"])
    return suffix in JSON_SUFFIXES


def read_table(path: Path) -> Table:
    """Read a file. Raises ManifestError for what is not the format that its suffix says, OSError."""
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ManifestError(path, ["is UTF-16: save it as CSV UTF-8"])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise ManifestError(path, [f"line {number}: is not UTF-8: save the file as CSV UTF-8"]) from None
    return _from_json(path, text) if is_json(path) else _from_csv(path, text)


def _from_csv(path: Path, text: str) -> Table:
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: tuple[str, ...] = ()
    lines: list[Line] = []
    faults: list[str] = []
    number = 0
    try:
        for number, cells in enumerate(reader, start=1):
            if number == 1:
                columns = tuple(each.strip() for each in cells)
            elif len(cells) > len(columns):
                faults.append(f"row {number}: has {len(cells)} cells, and the header {len(columns)}: a comma unquoted?")
            elif any(cells):
                lines.append(Line(number, {name: cell for name, cell in zip(columns, cells, strict=False) if cell}))
    except csv.Error as error:
        faults.append(f"row {number + 1} (line {reader.line_num}): {error}: a quote too many or too few?")
    faults += [f"column {each!r} is there twice" for each in sorted({c for c in columns if columns.count(c) > 1})]
    if faults:
        raise ManifestError(path, faults)
    return Table(columns, tuple(lines), delimiter)


def _delimiter(text: str) -> str:
    """Return what separates the header's columns: spreadsheets write `;` where a comma is in numbers, or tabs."""
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


def _from_json(path: Path, text: str) -> Table:
    columns: dict[str, None] = {}
    lines: list[Line] = []
    faults: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_once)
            cells = {name: cell for name, value in _object(row).items() if (cell := _cell(name, value)) is not None}
        except (json.JSONDecodeError, RecursionError):
            faults.append(f"line {number}: is not a JSON object")
            continue
        except ValueError as error:
            faults.append(f"line {number}: {error}")
            continue
        columns.update(dict.fromkeys(cells))
        lines.append(Line(number, cells))
    if faults:
        raise ManifestError(path, faults)
    return Table(tuple(columns), tuple(lines))


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(row := dict(pairs)) < len(pairs):
        raise ValueError("a name is there twice")
    return row


def _object(row: object) -> dict[str, object]:
    if not isinstance(row, dict):
        raise ValueError("is not a JSON object")  # noqa: TRY004 - told with the others
    return row


def _cell(name: str, value: object) -> str | None:
    if name == "watchlists" and isinstance(value, list):
        value = ";".join(map(str, value))
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is not a text in quotes")
    if value is not None and not value.isprintable():
        value.encode()  # half a letter of UTF-16 is no text: ValueError
    return value


def check_place(path: Path) -> None:
    """Raise what `write_table` would raise because of where a file is to be: before there is anything to write."""
    is_json(path)
    unfinished = _unfinished(path)
    os.close(_new_file(unfinished))
    unfinished.unlink()


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]], *, delimiter: str = ",") -> None:
    """Write a file, which takes the place of the one of its name when all is written; a cell may be missing: empty.

    `delimiter`: as of Table. Raises ManifestError for a suffix that is of neither format, OSError.
    """
    as_json, unfinished = is_json(path), _unfinished(path)
    try:
        with os.fdopen(_new_file(unfinished), "w", encoding="utf-8", newline="") as file:
            if as_json:
                _write_json(file, columns, rows)
            else:
                writer = csv.DictWriter(file, columns, restval="", lineterminator="\n", delimiter=delimiter)
                writer.writeheader()
                writer.writerows(rows)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _new_file(path: Path) -> int:
    # For who writes it alone: it names people.
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)


def _write_json(file: TextIO, columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> None:
    for cells in rows:
        said = {each: cells[each] for each in columns if each in cells}
        file.write(json.dumps(said, ensure_ascii=False) + "\n")
