"""`gerbang demo`: casts the story, runs its server, plays, and tears everything down."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
from gerbang import CounterClient, GateClient, GerbangError, WatchlistClient

from gerbang_service.cli.demo.cast import Cast, Part
from gerbang_service.cli.demo.drawn_cast import drawn_cast
from gerbang_service.cli.demo.real_cast import TooFewPeopleError, real_cast
from gerbang_service.cli.demo.record import Question, Record, Verdict
from gerbang_service.cli.demo.report import show_chapter, show_summary
from gerbang_service.cli.demo.server import DemoServer, ServerFailedError
from gerbang_service.cli.demo.spoiled import spoiled_photos
from gerbang_service.cli.demo.story import Places, Story
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.options import threshold_option
from gerbang_service.cli.output import Output
from gerbang_service.cli.photos import UnclearPhotosError

_STAND_IN = "stand-in"
_TIMEOUT_S = 20.0  # a call, seconds: more than any should take on the slowest machine
_STOPPED = "stopped and started again"


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
        raise click.UsageError("--photos needs a --pack for photographs, and such a pack needs --photos")
    output = Output(as_json=as_json)
    arguments = ["--pack", pack, *([] if threshold is None else ["--threshold", str(threshold)])]
    with _ended_by_signals(), tempfile.TemporaryDirectory(prefix="gerbang-demo-") as folder:
        server = DemoServer(Path(folder), arguments)
        try:
            with server:
                record = _play(server, photos, output)
        except (ServerFailedError, TooFewPeopleError, UnclearPhotosError, GerbangError) as error:
            output.complain(f"the demo could not be played: {error}")
            if isinstance(error, ServerFailedError | GerbangError):
                output.note(server.log_tail)
            click.get_current_context().exit(ExitCode.ERROR)
    show_summary(output, record)
    click.get_current_context().exit(ExitCode.NO if record.wrong else ExitCode.YES)


def _play(server: DemoServer, photos: Path | None, output: Output) -> Record:
    with _places(server.target) as places:
        cast = _cast(photos, places, output)
        record = Record()
        chapter = partial(_chapter, output, record)
        story = Story(cast, record, datetime.now(UTC))

        chapter("The office opens its lists and enrols people", lambda: story.enrolment(places))
        chapter("Everybody arrives and departs", lambda: story.travellers(places))
        chapter("At the counter", lambda: story.counter(places))
        chapter("The office changes its mind", lambda: story.changes(places))
        spoiled = spoiled_photos(cast[Part.EXIT_BANNED].known_photo, cast[Part.WANTED].known_photo)
        chapter("Photos that can't be used", lambda: story.unusable(places, spoiled))
    chapter("The server is restarted", lambda: _restart(server, record))
    with _places(server.target) as places:
        chapter("Everybody arrives and departs once more", lambda: story.travellers(places))
    return record


def _chapter(output: Output, record: Record, title: str, play: Callable[[], None]) -> None:
    before = len(record.events)
    play()
    show_chapter(output, title, record.events[before:])


def _cast(photos: Path | None, places: Places, output: Output) -> Cast:
    if photos is None:
        output.line("Everybody in this demo is drawn; the stand-in pack knows drawn faces only.")
        return drawn_cast()
    return real_cast(photos, places.arrival, output.note)


def _restart(server: DemoServer, record: Record) -> None:
    began = time.perf_counter()
    code = server.stop()
    server.start()
    ms = (time.perf_counter() - began) * 1000
    words = _STOPPED if code == 0 else f"ended with code {code} when asked to stop"
    record.note(Question("", "server", "-", "asked to stop (SIGTERM)", (_STOPPED,)), Verdict(words), began, ms)


@contextmanager
def _places(target: str) -> Iterator[Places]:
    with ExitStack() as stack:
        yield Places(
            office=stack.enter_context(WatchlistClient(target, timeout=_TIMEOUT_S)),
            arrival=stack.enter_context(GateClient(target, timeout=_TIMEOUT_S)),
            departure=stack.enter_context(GateClient(target, timeout=_TIMEOUT_S)),
            counter=stack.enter_context(CounterClient(target, timeout=_TIMEOUT_S)),
        )


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
