"""The command `gerbang` and how a run of it ends."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import click

from gerbang_service.cli.exits import EXIT_HELP, ExitCode

_ASKING = {
    each: each for each in ("enroll", "identify", "verify", "watchlist", "subject", "proposal", "info", "recall")
}
_KEEPING = {
    "doctor": "doctor.command",
    "audit": "audit_log",
    **{each: each for each in ("certs", "token", "key", "backup")},
    "restore": "backup",
    "check": "check",
}
# The module of each command, in the order in which they are listed: what one needs first comes first.
_MODULES = {"serve": "serve", **_ASKING, **_KEEPING, "demo": "demo.command"}


class _WhenNamed(click.Group):
    """Imports a command when it is named: a server's start does not wait for what the others need."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return all names."""
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, or None when there is none of that name."""
        if cmd_name not in _MODULES:
            return None
        command: click.Command = getattr(import_module(f"gerbang_service.cli.{_MODULES[cmd_name]}"), cmd_name)
        return command


@click.group(
    cls=_WhenNamed,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"{EXIT_HELP} 'gerbang COMMAND --help' tells more. GERBANG_SERVER names the server to ask.",
)
@click.version_option(package_name="gerbang", prog_name="gerbang")
def root() -> None:
    """Face matching against watchlists for border gates and immigration counters."""


def run() -> int:
    """Run the command that the arguments name and return its exit code."""
    if not {"serve", "demo"} & set(sys.argv[1:2]):
        # gRPC's core reads it when it is imported. Of a client it says what the command says too, in words of its own.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        code = root.main(prog_name="gerbang", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return ExitCode.USAGE
    except click.ClickException as error:
        error.show()
        return ExitCode.ERROR
    except click.Abort:
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    except Exception as error:  # a script must not take it for "no hit", as which Python's own exit code would read
        if os.environ.get("GERBANG_DEBUG"):
            raise
        click.echo(
            f"gerbang: a defect of this command: {type(error).__name__}: {error} (GERBANG_DEBUG=1 shows where)",
            err=True,
        )
        return ExitCode.ERROR
    return code if isinstance(code, int) else ExitCode.YES
