"""Plays the story against a server, chapter after chapter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from gerbang import CounterClient, GateClient, WatchlistClient
from gerbang_service.cli.demo.cast import Cast, Part
from gerbang_service.cli.demo.drawn_cast import drawn_cast
from gerbang_service.cli.demo.real_cast import real_cast
from gerbang_service.cli.demo.record import Question, Record, Verdict
from gerbang_service.cli.demo.report import show_chapter
from gerbang_service.cli.demo.server import DemoServer
from gerbang_service.cli.demo.spoiled import spoiled_photos
from gerbang_service.cli.demo.story import Places, Story
from gerbang_service.cli.output import Output

_TIMEOUT_S = 20.0  # a call, seconds: more than any should take on the slowest machine
_STOPPED = "stopped and started again"


def play(server: DemoServer, photos: Path | None, output: Output) -> Record:
    """Play the whole story against the started `server`, show it as it goes, and return what happened.

    `photos`: a folder of photos of real people, a folder for each; None: drawn people. Raises what casting raises (see
    `real_cast`), ServerFailedError when the server does not come back, gerbang.Unavailable when it is gone.
    """
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
    return real_cast(photos, places.office, places.arrival, output.note)


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
