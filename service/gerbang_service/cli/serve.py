"""`gerbang serve`: run the server."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import signal
import sys
import types
import typing
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gerbang_service.domain.errors import StartupError
from gerbang_service.settings import Settings, read_toml

_EXIT_REFUSED = 3
_SWITCH_INTERVAL_S = 0.0005


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one option for every setting, so that there is one place where settings are listed."""
    types_of = typing.get_type_hints(Settings)
    for field in reversed(dataclasses.fields(Settings)):
        kind, required = _plain(types_of[field.name]), field.default is dataclasses.MISSING
        name = "--" + field.name.replace("_", "-")
        command = click.option(
            f"{name}/--no-{name[2:]}" if kind is bool else name,
            type=click.Choice(field.metadata["choices"]) if field.metadata.get("choices") else _click_type(kind),
            default=None if required else field.default,
            required=required,
            show_default=not required and field.default not in (None, "", 0),
            envvar=f"GERBANG_{field.name.upper()}",
            show_envvar=True,
            help=field.metadata["help"],
        )(command)
    return command


def _plain(kind: Any) -> Any:  # noqa: ANN401 - a type annotation
    """Return T of `T | None`."""
    if isinstance(kind, types.UnionType):
        return next(each for each in kind.__args__ if each is not types.NoneType)
    return kind


def _click_type(kind: Any) -> Any:  # noqa: ANN401
    return click.Path(path_type=Path) if kind is Path else kind


def _use_file(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is not None:
        try:
            context.default_map = {**(context.default_map or {}), **read_toml(path)}
        except StartupError as error:
            raise click.UsageError(str(error)) from error


@click.command(short_help="Run the server.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="GERBANG_CONFIG",
    show_envvar=True,
    is_eager=True,
    expose_value=False,
    callback=_use_file,
    help="TOML file with settings; the command line and the environment go before it.",
)
@_options
def serve(**values: Any) -> None:  # noqa: ANN401 - checked by Settings
    """Run the server until SIGTERM or Ctrl-C, then finish the calls in flight.

    Prints the bound address, and "ready" once everyone enrolled can be found.
    Exit status: 0 after an orderly stop, 3 when it refuses to start.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # At INFO it tells which of its builds it looked for, in words that read like failures.
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)
    # Searches and images are spread over threads of their own. OpenBLAS's would only spin beside them: on two cores
    # they took 40 % of the answers. NumPy reads this when it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        asyncio.run(_run(Settings(**values)))
    except StartupError as error:
        click.echo(f"gerbang serve: {error}", err=True)
        sys.exit(_EXIT_REFUSED)


async def _run(settings: Settings) -> None:
    # Imported here, so that `gerbang serve --help` needs no neural network runtime.
    from gerbang_service.server import Server  # noqa: PLC0415

    # Once for the process: changing filters around a call is not safe in threads.
    warnings.filterwarnings("ignore", module="PIL")  # of odd metadata; the pixels decide
    warnings.filterwarnings(
        "ignore", "`estimate` is deprecated", FutureWarning
    )  # insightface 2.1 with scikit-image 0.26
    # A thread that comes back from native code (a search, a commit) waits this long for one that computes in Python;
    # CPython's 5 ms would be most of an answer's time (benchmarks/fresh.py).
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    server = Server(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    await server.run(lambda line: print(line, flush=True))
