"""What commands share that work on a data folder's files rather than ask a server."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from gerbang import GerbangError
from gerbang_service.audit.chain import PURPOSE
from gerbang_service.audit.commands import CommandLog
from gerbang_service.audit.serving import AUDIT_FOLDER
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.output import Output
from gerbang_service.domain.errors import DataDamaged, StartupError, StoreUnavailable
from gerbang_service.running.process import keep_private
from gerbang_service.store.sealing.keys import OperatorKey
from gerbang_service.store.sqlite.commands import derived_key
from gerbang_service.store.sqlite.vault import WrongKey

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(path_type=Path, dir_okay=False)

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    envvar="GERBANG_DATA",
    show_envvar=True,
    help="Folder of the database.",
)


def key_file_option(text: str) -> Callable[[F], F]:
    """--key-file; the environment variable GERBANG_KEY may hold the key instead."""
    return click.option("--key-file", type=_FILE, envvar="GERBANG_KEY_FILE", show_envvar=True, help=text)


def works_on_files(command: Callable[Concatenate[Output, P], ExitCode]) -> Callable[..., None]:
    """Give a command --json as an `Output`; turn what it returns or raises into exit codes."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document for programs.")
    @functools.wraps(command)
    def run(as_json: bool, *args: P.args, **kwargs: P.kwargs) -> None:  # noqa: FBT001
        # They hold keys, and what these open, as a server does.
        keep_private()
        output = Output(as_json=as_json)
        try:
            code = command(output, *args, **kwargs)
        except StartupError as error:
            output.fatal(GerbangError(str(error), reason=error.reason))
            code = ExitCode.ERROR
        except StoreUnavailable as error:
            output.fatal(GerbangError(str(error), reason=error.reason))
            code = ExitCode.ERROR
        except DataDamaged as error:
            output.fatal(GerbangError(f"the database can't be used: {error}", reason=error.reason))
            code = ExitCode.ERROR
        except OSError as error:
            said = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            output.fatal(GerbangError(said, reason="FILE_UNREADABLE"))
            code = ExitCode.ERROR
        click.get_current_context().exit(code)

    return run


audit_folder_option = click.option(
    "--audit-folder",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="GERBANG_AUDIT_FOLDER",
    show_envvar=True,
    help="The server's audit_folder, where this is recorded. Default: 'audit' in the data folder.",
)


def command_log(data: Path, key: OperatorKey | None, audit_folder: Path | None) -> CommandLog:
    """Return the log that commands on a folder are recorded in. Raises WrongKey, without the key that it needs too."""
    derived, unkeyed = derived_key(data, key, PURPOSE)
    return CommandLog(audit_folder or data / AUDIT_FOLDER, derived, unkeyed)


@contextmanager
def recorded_if_possible(
    output: Output, data: Path, key: OperatorKey | None, audit_folder: Path | None, command: str, **facts: str
) -> Iterator[dict[str, Any]]:
    """Record a command that only reads, or say why it is not: without the key, say. Lends what is recorded of it."""
    try:
        recording = command_log(data, key, audit_folder).recorded(command, **facts)
        done = recording.__enter__()
    except (StartupError, StoreUnavailable, DataDamaged) as error:
        if isinstance(error, WrongKey) and key is not None:
            raise
        output.note(f"not recorded in the audit log: {error}")
        yield {}
        return
    with ExitStack() as stack:
        stack.push(recording.__exit__)
        yield done


@contextmanager
def progress(output: Output, doing: str) -> Iterator[Callable[[int, int], None]]:
    """Lend what is told how much of how much is done, and shows it to people at a terminal."""
    if not output.for_people_at_a_terminal:
        yield lambda _done, _all: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=output.error_console, transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
