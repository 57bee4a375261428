"""The command line: `gerbang`. A client of the service like any other, and the way to start the server."""

from __future__ import annotations

import sys

_BASE_CLIENT_ONLY = "gerbang: {module} is not installed; the command line needs the service: install gerbang[service]\n"
_ERROR = 3  # ExitCode.ERROR; that module may be as much out of reach as this message's cause


def main() -> None:
    """Run `gerbang`; the entry point. Always ends in SystemExit with a code of `exits.ExitCode`."""
    try:
        from gerbang_service.cli.root import run  # noqa: PLC0415 - may be missing what it needs
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module in {"", "gerbang", "gerbang_service"}:
            raise
        sys.stderr.write(_BASE_CLIENT_ONLY.format(module=module))
        sys.exit(_ERROR)
    sys.exit(run())
