"""Options that commands share: how to reach the server, how to print, and the types of their values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

import gerbang
from gerbang._target import is_local
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.output import Output
from gerbang_service.cli.way import DEFAULT_SERVER, Target, Way, token_in, way_by

P = ParamSpec("P")
C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Session:
    """What every command is given: the server to ask, seconds to wait for it (None: the client's default), printer.

    `way`: how to reach it, and as whom.
    """

    server: str
    timeout: float | None
    output: Output
    way: Way = field(default_factory=Way, repr=False)

    def client(self, kind: Callable[..., C]) -> C:
        """Return a client of the server, such as a GateClient. Raises click.UsageError for what none can be made of."""
        way = self.way
        if way.credentials is None and not way.insecure and not is_local(self.server):
            raise click.UsageError(
                f"{self.server} is not on this machine: say whom to trust there, with --ca, or --insecure for faces in "
                "the clear"
            )
        try:
            return kind(
                self.server,
                timeout=self.timeout,
                credentials=way.credentials,
                token=way.token,
                insecure=way.insecure,
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from error


def session_so_far(ctx: click.Context | None) -> Session | None:
    """Return a session for a question that has to be asked while the options of a command are still read.

    None for a command that asks no server. Raises as `way_by`.
    """
    if ctx is None or "client_certificate" not in ctx.params:
        return None
    # What was not given is a sentinel of click's at this time.
    given: dict[str, Any] = {name: None if isinstance(value, Enum) else value for name, value in ctx.params.items()}
    way = way_by(given["ca"], given["client_certificate"], given["client_key"], token_in(given["token_file"]))
    output = Output(as_json=bool(given["as_json"]))
    return Session(given["server"], given["timeout"], output, replace(way, insecure=bool(given["insecure"])))


def asks_server(command: Callable[Concatenate[Session, P], ExitCode]) -> Callable[..., None]:
    """Give a command the options of a `Session`; turn what it returns or raises into exit codes.

    They are read before the command's own, some of which mean what the server says: see `session_so_far`.
    """

    @click.option(
        "--server",
        type=Target(),
        envvar="GERBANG_SERVER",
        default=DEFAULT_SERVER,
        show_default=True,
        show_envvar=True,
        metavar="HOST:PORT",
        help="The Gerbang server to ask.",
        is_eager=True,
    )
    @click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Wait so long for an answer. Default: what suits the call.",
        is_eager=True,
    )
    @_file_option("--ca", "PEM file of the authority that the server's certificate is of: asks over TLS.")
    @_file_option("--client-certificate", "PEM file of this client's certificate.")
    @_file_option("--client-key", "PEM file of its key.")
    @_file_option("--token-file", "File with this client's API token. Or GERBANG_TOKEN holds it.")
    @click.option(
        "--insecure",
        is_flag=True,
        is_eager=True,
        help="Ask another machine without TLS: who is on the way sees the faces.",
    )
    @click.option("--json", "as_json", is_flag=True, is_eager=True, help="Print one JSON document for programs.")
    @functools.wraps(command)
    def run(
        server: str,
        timeout: float | None,
        ca: Path | None,
        client_certificate: Path | None,
        client_key: Path | None,
        token_file: Path | None,
        insecure: bool,  # noqa: FBT001 - click passes it by name
        as_json: bool,  # noqa: FBT001 - click passes it by name
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        output = Output(as_json=as_json)
        session = Session(server, timeout, output)
        try:
            way = way_by(ca, client_certificate, client_key, token_in(token_file))
            session = Session(server, timeout, output, replace(way, insecure=insecure))
            code = command(session, *args, **kwargs)
        except gerbang.SecondPersonNeeded as error:
            session.output.proposed(error)
            code = ExitCode.PROPOSED
        except gerbang.GerbangError as error:
            session.output.fatal(error)
            code = ExitCode.ERROR
        except OSError as error:  # a file that vanished or can't be read
            session.output.fatal(gerbang.GerbangError(str(error), reason="FILE_UNREADABLE"))
            code = ExitCode.ERROR
        click.get_current_context().exit(code)

    return run


def _file_option(name: str, text: str) -> Callable[[F], F]:
    # Not GERBANG_KEY: that holds the key that the server's data is encrypted with.
    variable = "GERBANG_" + name.removeprefix("--").replace("-", "_").upper()
    kind = click.Path(exists=True, dir_okay=False, path_type=Path)
    return click.option(name, type=kind, envvar=variable, show_envvar=True, metavar="FILE", is_eager=True, help=text)


class InOrder(click.Group):
    """Lists its commands as they were added: what one needs first comes first."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in order of their addition."""
        return list(self.commands)


class Label(click.ParamType[tuple[str, str]]):
    """`key=value` as a pair."""

    name = "KEY=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:  # noqa: ANN401
        """Split at the first `=`."""
        if isinstance(value, tuple):
            return value
        key, separator, content = str(value).partition("=")
        if not key or not separator:
            self.fail(f"{value!r} is not KEY=VALUE", param, ctx)
        return key, content


def threshold_option(text: str) -> Callable[[F], F]:
    """--threshold, a cosine similarity."""
    return click.option("--threshold", type=click.FloatRange(-1, 1), metavar="COSINE", help=text)


def labels_option(text: str) -> Callable[[F], F]:
    """--label, repeatable; gives a dict. The last of two with the same key counts."""
    return click.option(
        "--label",
        "labels",
        type=Label(),
        multiple=True,
        callback=lambda _ctx, _param, pairs: dict(pairs),
        help=text,
    )


def watchlists_option(text: str) -> Callable[[F], F]:
    """--watchlist, repeatable; gives a tuple of ids."""
    return click.option("--watchlist", "watchlists", multiple=True, metavar="ID", help=text)


def face_option(default: str) -> Callable[[F], F]:
    """--face; None leaves the choice to the server, whose `default` the help tells."""
    return click.option(
        "--face",
        "face_choice",
        type=click.Choice(["largest", "only"]),
        help=f"Which face of a photo is meant; 'only': there must be just one. Default: {default}.",
    )
