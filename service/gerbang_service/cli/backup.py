"""`gerbang backup` and `gerbang restore`: a copy of what is stored, and a data folder made of it."""

from __future__ import annotations

from pathlib import Path

import click

from gerbang_service.cli.check import report_document
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.folder import (
    audit_folder_option,
    command_log,
    data_option,
    key_file_option,
    progress,
    recorded_if_possible,
    works_on_files,
)
from gerbang_service.cli.output import Output
from gerbang_service.store.sealing.keys import find_key
from gerbang_service.store.sqlite.backup import backup as backup_database
from gerbang_service.store.sqlite.backup import restore as restore_database
from gerbang_service.store.sqlite.checking import Report
from gerbang_service.store.sqlite.commands import existing, told

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(short_help="Copy what is stored, while the server runs.")
@data_option
@click.argument("target", type=_FILE)
@key_file_option("File with the key, to check what is encrypted as well. Else GERBANG_KEY holds it.")
@audit_folder_option
@works_on_files
def backup(output: Output, data: Path, target: Path, key_file: Path | None, audit_folder: Path | None) -> ExitCode:
    """Copy a data folder's database into the new file TARGET, of one moment, and check the copy.

    The server may run and write meanwhile. The copy is as encrypted as the database; the key is not in it, nor is the
    audit log. TARGET appears when it is whole and on disk, and is never written over another file.

    Exit codes: 0 done; 2 wrong usage; 3 error, or the database is damaged: there is no copy.
    """
    key = find_key(key_file)
    existing(data)
    about = {"target": str(target.absolute())}
    with recorded_if_possible(output, data, key, audit_folder, "backup", **about) as recorded:
        with progress(output, "copying") as done, told():
            report = backup_database(data, target, key, done)
        recorded["revision"] = report.revision
    _say(output, report, f"{target}: {_content(report)}")
    return ExitCode.YES


@click.command(short_help="Make a data folder of a backup.")
@click.argument("copy", metavar="BACKUP", type=_FILE)
@data_option
@key_file_option("File with the key that the backup needs. Else GERBANG_KEY holds it.")
@audit_folder_option
@works_on_files
def restore(output: Output, copy: Path, data: Path, key_file: Path | None, audit_folder: Path | None) -> ExitCode:
    """Make the new data folder --data of BACKUP, which is checked before and after.

    Who was deleted, and which tokens were revoked, since the backup was made is not known to it: do that again.

    Exit codes: 0 done; 2 wrong usage; 3 error, nothing was restored.
    """
    key = find_key(key_file)
    with progress(output, "restoring") as done, told():
        report = restore_database(copy, data, key, done)
    # Not before: the folder has to be empty, and without its database there is no key to record it by.
    command_log(data, key, audit_folder).note("restore", "done", backup=str(copy.absolute()), revision=report.revision)
    _say(output, report, f"{data}: {_content(report)}")
    return ExitCode.YES


def _content(report: Report) -> str:
    counts = ", ".join(f"{name} {report.counts.get(name, 0)}" for name in ("subjects", "templates", "watchlists"))
    return f"{counts}, revision {report.revision}"


def _say(output: Output, report: Report, text: str) -> None:
    output.line(text)
    for each in report.unchecked:
        output.line(f"not checked: {each}")
    if report.key_id is not None:
        output.line(f"it needs key {report.key_id}, which is not in it")
    if output.as_json:
        output.document(report_document(report))
