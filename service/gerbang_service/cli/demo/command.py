"""`gerbang demo`: casts the story, runs its server, plays, and tears everything down."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from gerbang import GerbangError
from gerbang_service.cli.demo.real_cast import TooFewPeopleError
from gerbang_service.cli.demo.server import DemoServer, ServerFailedError
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.options import threshold_option
from gerbang_service.cli.output import Output
from gerbang_service.cli.photos import UnclearPhotosError

_STAND_IN = "stand-in"


@click.command(
    short_help="Play a day at a border against a server of its own.",
    epilog="Exit codes: 0 every answer was right; 1 some were wrong; 2 wrong usage; 3 it could not be played.",
)
@click.option(
    "--pack",
    default=_STAND_IN,
    show_default=True,
    metavar="NAME_OR_FOLDER",
    help="Face pack of the server. The stand-in knows drawn faces only.",
)
@click.option(
    "--photos",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Play with the people in this folder, a folder of photos for each, instead of drawn ones.",
)
@threshold_option("Similarity from which on it is a hit or a match. Default: the pack's.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document for programs.")
def demo(pack: str, photos: Path | None, threshold: float | None, as_json: bool) -> None:  # noqa: FBT001
    """Play a day at a border against a server of its own.

    An office enrols people on an exit ban list, an entry ban list and a red-notice list; travellers pass two gates and
    a counter; the office changes its mind; photos are unusable; the server is stopped and started again. Every answer
    is compared with what is known to be true. The server and its data are gone afterwards.
    """
    if (pack == _STAND_IN) != (photos is None):
        raise click.UsageError(f"the pack {_STAND_IN} goes with drawn people, any other with --photos of real ones")
    # Imported here: what draws faces takes a second to load, and no other command needs it.
    from gerbang_service.cli.demo.play import play  # noqa: PLC0415
    from gerbang_service.cli.demo.report import show_summary  # noqa: PLC0415

    output = Output(as_json=as_json)
    arguments = ["--pack", pack]
    if threshold is not None:
        arguments += ["--threshold", str(threshold), "--verification-threshold", str(threshold)]
    with _ended_by_signals(), tempfile.TemporaryDirectory(prefix="gerbang-demo-") as folder:
        server = DemoServer(Path(folder), arguments)
        try:
            with server:
                record = play(server, photos, output)
        except (ServerFailedError, TooFewPeopleError, UnclearPhotosError, GerbangError) as error:
            output.complain(f"the demo could not be played: {error}")
            if isinstance(error, ServerFailedError | GerbangError):
                output.note(f"The server's log ends with:\n{server.log_tail}")
            click.get_current_context().exit(ExitCode.ERROR)
    show_summary(output, record)
    click.get_current_context().exit(ExitCode.NO if record.wrong else ExitCode.YES)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the demo as an exception does, so that its server is stopped."""

    def end(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    numbers = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
