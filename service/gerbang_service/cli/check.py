"""`gerbang check`: whether what is stored is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.folder import (
    audit_folder_option,
    data_option,
    key_file_option,
    progress,
    recorded_if_possible,
    works_on_files,
)
from gerbang_service.cli.output import Output
from gerbang_service.store.sealing.keys import find_key
from gerbang_service.store.sqlite.checking import Report
from gerbang_service.store.sqlite.commands import check as check_folder
from gerbang_service.store.sqlite.commands import existing


@click.command(short_help="Check that what is stored is whole.")
@data_option
@key_file_option("File with the key that the folder needs. Else GERBANG_KEY holds it.")
@audit_folder_option
@works_on_files
def check(output: Output, data: Path, key_file: Path | None, audit_folder: Path | None) -> ExitCode:
    """Check a data folder's database from end to end: pages, tables, and that every value is what was written.

    First its write-ahead log, of which SQLite would pass over what follows a damaged place.

    Changes nothing, and may run beside the server. In a folder that is encrypted a flipped bit in any vector, label,
    answer or row of a person is found and its place is said; in the clear only what is no possible value. The audit log
    is checked by 'gerbang audit verify'.

    Exit codes: 0 whole; 1 damaged; 2 wrong usage; 3 not, or not all of it, could be checked.
    """
    existing(data)
    key = find_key(key_file)
    with recorded_if_possible(output, data, key, audit_folder, "check") as done, progress(output, "checking") as told:
        report = check_folder(data, key, told)
        done |= {"damaged": report.damaged, "revision": report.revision}
    show(output, report)
    if report.damaged:
        return ExitCode.NO
    return ExitCode.YES if report.sound else ExitCode.ERROR


def show(output: Output, report: Report) -> None:
    """Print what a check found."""
    if output.as_json:
        output.document(report_document(report))
        return
    for each in report.damage:
        output.line(f"damaged: {each}")
    if report.damaged > len(report.damage):
        output.line(f"damaged: and {report.damaged - len(report.damage)} more")
    for each in report.unchecked:
        output.line(f"not checked: {each}")
    output.facts(
        {
            "encryption": "none" if report.key_id is None else f"key {report.key_id}",
            "revision": str(report.revision),
            **{name: str(count) for name, count in sorted(report.counts.items())},
        }
    )
    if report.sound:
        output.line("whole")


def report_document(report: Report) -> dict[str, Any]:
    """Return what a check found, for programs."""
    return {
        "sound": report.sound,
        "damaged": report.damaged,
        "damage": report.damage,
        "unchecked": report.unchecked,
        "key_id": report.key_id,
        "revision": report.revision,
        "counts": report.counts,
    }
