"""What commands share that work on a data folder's files rather than ask a server."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from gerbang import GerbangError
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.output import Output
from gerbang_service.domain.errors import StartupError
from gerbang_service.running.process import keep_private
from gerbang_service.store.sqlite.inspecting import UNUSABLE

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
        except UNUSABLE as error:
            whose = (
                ": run this as the server's user" if getattr(error, "sqlite_errorname", "") == "SQLITE_CANTOPEN" else ""
            )
            output.fatal(GerbangError(f"the database can't be used: {error}{whose}", reason="STORE_UNAVAILABLE"))
            code = ExitCode.ERROR
        except OSError as error:
            said = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            output.fatal(GerbangError(said, reason="FILE_UNREADABLE"))
            code = ExitCode.ERROR
        click.get_current_context().exit(code)

    return run


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
