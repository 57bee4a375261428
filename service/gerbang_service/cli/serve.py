"""`gerbang serve`: run the server."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gerbang_service.configuration.settings import Settings, read_toml
from gerbang_service.domain.errors import StartupError
from gerbang_service.running import process
from gerbang_service.running.failed import Failed
from gerbang_service.running.supervisor import Supervisor

log = logging.getLogger(__name__)


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one option for every setting, so that there is one place where settings are listed."""
    types_of = typing.get_type_hints(Settings)
    for field in reversed(dataclasses.fields(Settings)):
        kind, required = _plain(types_of[field.name]), field.default is dataclasses.MISSING
        name = "--" + field.name.replace("_", "-")
        # None, said so, would count as a value that was given.
        default: dict[str, Any] = {} if required else {"default": field.default}
        command = click.option(
            f"{name}/--no-{name[2:]}" if kind is bool else name,
            type=click.Choice(field.metadata["choices"]) if field.metadata.get("choices") else _click_type(kind),
            required=required,
            show_default=not required and field.default not in (None, "", 0),
            envvar=f"GERBANG_{field.name.upper()}",
            show_envvar=True,
            help=field.metadata["help"],
            **default,
        )(command)
    return command


def _plain(kind: Any) -> Any:  # noqa: ANN401 - a type annotation
    """Return T of `T | None`."""
    if isinstance(kind, types.UnionType):
        return next(each for each in kind.__args__ if each is not types.NoneType)
    return kind


def _click_type(kind: Any) -> Any:  # noqa: ANN401
    # What can't be read is refused by who needs it, which says what for.
    return click.Path(path_type=Path, readable=False) if kind is Path else kind


def _use_file(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is not None:
        try:
            context.default_map = {**(context.default_map or {}), **read_toml(path)}
        except StartupError as error:
            raise click.UsageError(str(error)) from error


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="GERBANG_CONFIG",
    show_envvar=True,
    is_eager=True,
    expose_value=False,
    callback=_use_file,
    help="TOML file with settings; the command line and the environment go before it.",
)


@click.command(short_help="Run the server.")
@config_option
@settings_options
def serve(**values: Any) -> None:  # noqa: ANN401 - checked by Settings
    """Run the server until SIGTERM or Ctrl-C, then finish the calls in flight.

    Prints the bound address, and "ready" once everyone enrolled can be found.
    Exit status: 0 after an orderly stop, 2 for a wrong option, setting or configuration file, 3 when it refuses to
    start, 4 when it had to give up.
    """
    process.prepare()
    try:
        settings = Settings(**values)
    except StartupError as error:
        raise click.UsageError(str(error)) from error
    json = settings.log_format == "json"
    try:
        process.log_as(settings)
        if settings.workers == 1:
            process.run(process.serve(settings))
        else:
            asyncio.run(Supervisor(settings).run())
    except StartupError as error:
        if json:
            log.critical("%s", error)
        else:
            click.echo(f"gerbang serve: {error}", err=True)
        sys.exit(process.EXIT_FAILED if isinstance(error, Failed) else process.EXIT_REFUSED)
    except Exception:
        # Not as other commands end: whatever supervises it has to start it again.
        log.critical("the server ends with an error of its own", exc_info=True)
        sys.exit(process.EXIT_FAILED)
