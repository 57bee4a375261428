"""`gerbang audit`: the log of who did what to whom."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from gerbang_service.access.identity import RPCS, Role
from gerbang_service.audit.chain import PURPOSE, Head, Seal
from gerbang_service.audit.files import HEAD_FILE, chain_folders, last_line, log_files, number_of
from gerbang_service.audit.reading import Filter, Record, is_hit, records, records_of
from gerbang_service.audit.serving import AUDIT_FOLDER
from gerbang_service.audit.unkeyed import from_text
from gerbang_service.audit.verdict import Verdict
from gerbang_service.audit.verifying import Unkeyed, verify_files, verify_logs
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.folder import key_file_option, works_on_files
from gerbang_service.cli.moments import Moment, machines_zone_option
from gerbang_service.cli.output import Output, counted
from gerbang_service.domain.errors import StartupError
from gerbang_service.store.sealing.keys import find_key
from gerbang_service.store.sqlite.commands import derived_key
from gerbang_service.store.sqlite.connection import DATABASE_FILE

_NO_LOG = "there is no audit log; where the server's audit_folder says another place, name that"
_paths = click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
_data = click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="GERBANG_DATA",
    show_envvar=True,
    help="The data folder, whose 'audit' is meant when no path is given, and whose data key the log's is derived from.",
)


class _HeadType(click.ParamType[Head]):
    name = "SEQUENCE:HASH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Head:  # noqa: ANN401
        try:
            return value if isinstance(value, Head) else Head.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(short_help="Prove that nothing was cut or changed.")
@_paths
@_data
@key_file_option("File with the key of the data folder. Else GERBANG_KEY holds it. Without: only hashes are checked.")
@click.option("--head", "heads", multiple=True, type=_HeadType(), help="Of 'audit head', noted elsewhere; repeatable.")
@works_on_files
def verify(
    output: Output, paths: tuple[Path, ...], data: Path | None, key_file: Path | None, heads: tuple[Head, ...]
) -> ExitCode:
    """Prove that nothing was cut from the audit log, changed in it, moved or put in.

    PATHS: folders of logs, or consecutive files of one log, such as an archive. May run beside the server. A folder is
    verified with those of workers in it, up to where the supervisor's log says that they go.

    Who can write the folder can remove the end of the log together with its head file, and without encryption can make
    all of it anew: only a head that was noted elsewhere ('gerbang audit head', --head) shows that.

    Exit codes: 0 sound; 1 broken; 2 wrong usage; 3 could not be verified.
    """
    key, unkeyed = _log_key(paths, data, key_file)
    folders, files = _logs(paths, data, whole=True)
    if heads and sum(len(chain_folders(each)) for each in folders) + bool(files) > 1:
        raise click.UsageError("--head is of one log: name its folder")
    verdicts = [verdict for each in folders for verdict in verify_logs(each, Seal(key), heads, unkeyed)]
    if files:
        verdicts.append(verify_files(files, Seal(key), heads, unkeyed))
    if output.as_json:
        output.document({"sound": all(each.sound for each in verdicts), "logs": [_document(each) for each in verdicts]})
    for each in verdicts:
        _show_verdict(output, each)
    return ExitCode.YES if all(each.sound for each in verdicts) else ExitCode.NO


@click.command(short_help="Print where each log ends, to be noted elsewhere.")
@_paths
@_data
@works_on_files
def head(output: Output, paths: tuple[Path, ...], data: Path | None) -> ExitCode:
    """Print where each log ends, SEQUENCE:HASH, to be noted where nobody who can write the log can.

    'gerbang audit verify --head' later proves that everything up to there is as it was.
    """
    folders, files = _logs(paths, data)
    found = {str(each): _end(log_files(each)) for each in folders}
    if files:
        found[str(files[-1])] = _end(files)
    if output.as_json:
        output.document({name: str(end) if end else None for name, end in found.items()})
    for name, end in found.items():
        output.line(f"{end}  {name}" if end else f"no record  {name}")
    return ExitCode.YES if all(found.values()) else ExitCode.NO


@click.command(short_help="Show what was recorded, by time.")
@_paths
@_data
@click.option("--since", type=Moment(), help="From this date on, or this time with its offset.")
@click.option("--until", type=Moment(to_its_end=True), help="To the end of this date, or before this time.")
@machines_zone_option
@click.option("--identity", default="", metavar="NAME", help="Calls of this identity.")
@click.option("--role", type=click.Choice([each.value for each in Role]), help="Calls of this role.")
@click.option("--rpc", type=click.Choice(sorted(RPCS[Role.ADMIN])), help="Calls of this rpc.")
@click.option("--subject", default="", metavar="ID", help="What is about this subject: asked for, found, changed.")
@click.option("--watchlist", default="", metavar="ID", help="What is about this watchlist.")
@click.option("--request-id", default="", metavar="ID", help="The call with this id, which its client was told.")
@click.option("--hits", is_flag=True, help="Only who was found or matched.")
@click.option("--failures", is_flag=True, help="Only what failed or was refused.")
@click.option("--follow", is_flag=True, help="Go on with what is recorded from now on, until Ctrl-C.")
@works_on_files
def show(
    output: Output,
    /,
    paths: tuple[Path, ...],
    data: Path | None,
    role: str | None,
    rpc: str | None,
    follow: bool,  # noqa: FBT001 - click passes it by name
    **wanted: Any,  # noqa: ANN401 - fields of Filter
) -> ExitCode:
    """Show what was recorded, by time; with --json one JSON object a line.

    PATHS: folders of logs, or files. It takes the records as they are: 'gerbang audit verify' proves them.

    Exit codes: 0 something was found; 1 nothing; 2 wrong usage; 3 error.
    """
    wanted["since"], wanted["until"] = _moment(wanted["since"]), _moment(wanted["until"])
    chosen = Filter(role=role or "", rpc=rpc or "", **wanted)
    folders, files = _logs(paths, data, whole=True)
    if follow and (len(folders) != 1 or files):
        raise click.UsageError("--follow needs one folder")
    found = False
    for each in (records_of(files, chosen), *(records(folder, chosen, follow=follow) for folder in folders)):
        for record in each:
            found = True
            if output.as_json:
                click.echo(json.dumps(record, separators=(",", ":")))
            else:
                output.line(*_line(record))
    if not found:
        output.note("Nothing was found.")
    return ExitCode.YES if found else ExitCode.NO


def _logs(paths: tuple[Path, ...], data: Path | None, *, whole: bool = False) -> tuple[list[Path], list[Path]]:
    """Return the folders of single logs, or with `whole` those given, and the files, in order."""
    if not paths:
        if data is None:
            raise click.UsageError("name a folder or files of a log, or say --data")
        paths = (data / AUDIT_FOLDER,)
    if whole_data := [each for each in paths if (each / DATABASE_FILE).exists()]:
        raise click.UsageError(f"{whole_data[0]} is a data folder, and no log: say --data {whole_data[0]}")
    given = [each for each in paths if each.is_dir() or not each.exists()]
    if missing := [each for each in given if not each.is_dir()]:
        raise StartupError(f"{missing[0]}: {_NO_LOG}")
    single = [log for each in given for log in chain_folders(each)]
    if empty := [each for each in single if not log_files(each) and not (each / HEAD_FILE).exists()]:
        raise StartupError(f"{empty[0]}: {_NO_LOG}")
    folders = given if whole else single
    files = sorted((each for each in paths if each.is_file()), key=number_of)
    if strange := [each for each in files if not number_of(each)]:
        raise click.UsageError(f"{strange[0]} is no file of a log")
    return folders, files


def _log_key(paths: tuple[Path, ...], data: Path | None, key_file: Path | None) -> tuple[bytes | None, Unkeyed | None]:
    """Return the log's key, and what may be without it, when the operator's was given and the database is there."""
    key = find_key(key_file)
    if key is None:
        return None, None
    beside = [each.parent for path in paths for each in (path, path.parent) if (each.parent / DATABASE_FILE).exists()]
    folder = data or next(iter(beside), None)
    if folder is None or not (folder / DATABASE_FILE).exists():
        if key_file is None:  # in the environment, for whatever else
            return None, None
        raise StartupError("the log's key is derived from the data key, which is in the database: say --data")
    derived, kept = derived_key(folder, key, PURPOSE)
    return derived, None if kept is None else from_text(kept)


def _end(files: list[Path]) -> Head | None:
    last = last_line(files)
    return None if last is None else last.head


def _moment(value: datetime | None) -> str:
    return "" if value is None else f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _document(verdict: Verdict) -> dict[str, Any]:
    return {**asdict(verdict), "last": None if verdict.last is None else str(verdict.last), "sound": verdict.sound}


def _show_verdict(output: Output, verdict: Verdict) -> None:
    for note in verdict.notes:
        output.line(Text("note: ", style="yellow"), note)
    for each in verdict.breaks[:20]:
        at = f"{each.file}:{each.line}" if each.line else each.file
        output.line(Text(f"BROKEN ({each.kind}) ", style="bold red"), f"{at}: {each.text}")
    if len(verdict.breaks) > 20:
        output.line(f"and {len(verdict.breaks) - 20} more breaks")
    ends = f", {verdict.first} to {verdict.last.sequence}" if verdict.last is not None else ""
    state = Text("sound", style="green") if verdict.sound else Text("broken", style="bold red")
    output.line(
        f"{verdict.name}: {counted(verdict.records, 'record')}{ends} in {counted(verdict.files, 'file')}: ", state
    )
    if verdict.sound and verdict.last is not None:
        output.line(f"head {verdict.last}")


def _line(record: Record) -> tuple[str | Text, ...]:
    moment = str(record.get("time", ""))
    if "event" in record:
        facts = {k: v for k, v in record.items() if k not in ("sequence", "time", "event", "hash", "mac")}
        return moment, "  ", Text(str(record["event"]), style="bold"), "  ", _facts(facts)
    who = f"{record.get('identity') or record.get('claimed') or 'unknown'} ({record.get('role') or 'no role'})"
    asked = _facts(record.get("asked") or {})
    outcome: Text
    if "failed" in record:
        failed = record["failed"]
        outcome = Text(str(failed.get("reason") or failed.get("status")), style="yellow")
        outcome.append(f"  from {record.get('peer')}, request {record.get('request_id')}", style="not yellow dim")
    else:
        answered = _facts(record.get("answered") or {})
        outcome = Text(answered, style="bold red" if is_hit(record) else "")
    return moment, "  ", who, "  ", Text(str(record.get("rpc")), style="bold"), f"  {asked}  ->  ", outcome


def _facts(facts: Record) -> str:
    return ", ".join(
        f"{name} {_value(_time(name, value))}" for name, value in facts.items() if value not in (None, "", [])
    )


def _time(name: str, value: Any) -> Any:  # noqa: ANN401 - what JSON has
    return _moment(datetime.fromtimestamp(value / 1e9, UTC)) if name.endswith("_time_ns") else value


def _value(value: Any) -> str:  # noqa: ANN401 - what JSON has
    if isinstance(value, dict):
        return f"({_facts(value)})"
    if isinstance(value, list):
        return " ".join(_value(each) for each in value)
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) >= 0.001 else f"{value:.2g}"  # of false match rates
    return str(value)


@click.group(short_help="Read and prove the log of who did what to whom.")
def audit() -> None:
    """Read and prove the log of who did what to whom."""


for _command in (show, verify, head):
    audit.add_command(_command)
