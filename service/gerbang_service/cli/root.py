"""The command `gerbang` and how a run of it ends."""

from __future__ import annotations

import click

from gerbang_service.cli.audit import audit
from gerbang_service.cli.backup import backup, restore
from gerbang_service.cli.certs import certs
from gerbang_service.cli.check import check
from gerbang_service.cli.demo.command import demo
from gerbang_service.cli.doctor.command import doctor
from gerbang_service.cli.enroll import enroll
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.identify import identify
from gerbang_service.cli.info import info
from gerbang_service.cli.key import key
from gerbang_service.cli.options import InOrder
from gerbang_service.cli.serve import serve
from gerbang_service.cli.subject import subject
from gerbang_service.cli.token import token
from gerbang_service.cli.verify import verify
from gerbang_service.cli.watchlist import watchlist


@click.group(
    cls=InOrder,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 hit, match or done; 1 no hit or no match; 2 wrong usage; 3 error. 'gerbang COMMAND --help' "
    "tells more. GERBANG_SERVER names the server to ask.",
)
@click.version_option(package_name="gerbang", prog_name="gerbang")
def root() -> None:
    """Face matching against watchlists for border gates and immigration counters."""


_ASKING = (enroll, identify, verify, watchlist, subject, info)
_KEEPING = (doctor, audit, certs, token, key, backup, restore, check)
for _command in (serve, *_ASKING, *_KEEPING, demo):
    root.add_command(_command)


def run() -> int:
    """Run the command that the arguments name and return its exit code."""
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
    return code if isinstance(code, int) else ExitCode.YES
