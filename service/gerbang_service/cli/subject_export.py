"""`gerbang subject export`: who is enrolled, as a manifest."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC
from pathlib import Path
from typing import Unpack

import click
from google.protobuf.timestamp_pb2 import Timestamp

from gerbang import WatchlistClient
from gerbang.v1.subject_pb2 import Subject
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.manifest.rows import COLUMNS, LABEL
from gerbang_service.cli.manifest.tables import ManifestError, is_json, write_table
from gerbang_service.cli.options import Session, asks_server
from gerbang_service.cli.subject_list import PAGE, Which, which_options


@click.command(short_help="Write subjects to a file.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@which_options
@asks_server
def export(session: Session, /, file: Path, **which: Unpack[Which]) -> ExitCode:
    """Write subjects to FILE, a manifest: CSV or, where its name ends with .jsonl, JSON Lines; a row each.

    What there is of the file is replaced, once all is written. Lists, validity and labels are told; the photo is empty:
    the server keeps no pictures, and gives templates to nobody. With photos named in that column, 'gerbang enroll
    --manifest' enrols the same people elsewhere. Times are exact, in UTC.
    """
    try:
        as_json = is_json(file)
    except ManifestError as error:
        raise click.UsageError(error.faults[0]) from error
    # Kept aside until it is known which labels there are: a header names them.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as aside:
        labels: dict[str, None] = {}
        count = 0
        with session.client(WatchlistClient) as office:
            for subject in office.list_subjects(page_size=PAGE, **which):
                count += 1
                if not as_json:
                    _check_cells(subject)
                labels.update(dict.fromkeys(f"{LABEL}{key}" for key in subject.labels))
                aside.write(json.dumps(cells_of(subject)) + "\n")
        aside.seek(0)
        between = "\t" if file.suffix.lower() == ".tsv" else ","
        write_table(file, [*COLUMNS, *sorted(labels)], map(json.loads, aside), delimiter=between)
    if session.output.as_json:
        session.output.document({"file": str(file), "subjects": count})
    session.output.line(f"{count} {'subject' if count == 1 else 'subjects'} in {file}")
    return ExitCode.YES


def cells_of(subject: Subject) -> dict[str, str]:
    """Return the cells of a subject's row."""
    return {
        "subject_id": subject.subject_id,
        "photo": "",
        "watchlists": ";".join(subject.watchlists),
        "valid_from": _time(subject, "valid_from"),
        "valid_until": _time(subject, "expire_time"),
        "on_existing": "",
        **{f"{LABEL}{key}": value for key, value in subject.labels.items()},
    }


def _time(subject: Subject, field: str) -> str:
    if not subject.HasField(field):  # type: ignore[arg-type]  # one of the two literals
        return ""
    stamp: Timestamp = getattr(subject, field)
    return stamp.ToDatetime(UTC).isoformat().replace("+00:00", "Z")


def _check_cells(subject: Subject) -> None:
    if empty := [key for key, value in subject.labels.items() if not value]:
        raise click.UsageError(
            f"the label {empty[0]!r} of {subject.subject_id} is empty, which CSV can't tell from none: export to .jsonl"
        )
