"""A process that serves: what is set up once for all of it."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import resource
import select
import signal
import sys
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import StartupError
from gerbang_service.running.failed import Failed

if TYPE_CHECKING:
    from gerbang_service.running.galleries import Inherited
    from gerbang_service.running.server import Server

# The server refuses to start; it was started and had to give up.
EXIT_REFUSED, EXIT_FAILED = 3, 4
# What a process says to its supervisor, and how often, seconds.
ALIVE = "alive"
BEATS_EVERY_S = 1.0

# A thread that comes back from native code (a search, a commit) waits this long for one that computes in Python;
# CPython's 5 ms would be most of an answer's time (benchmarks/fresh.py).
_SWITCH_INTERVAL_S = 0.0005
_PR_SET_DUMPABLE = 4  # of prctl(2)


def prepare() -> None:
    """Set up logging to stderr, and keep the process's memory to itself."""
    keep_private()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # At INFO it tells which of its builds it looked for, in words that read like failures.
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)


def keep_private() -> None:
    """Leave no core dump, let no other process of this user look into the memory, and share no file that is made."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # Also for cores that go to a program, which the limit does not stop; and for debuggers and /proc/PID/environ.
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    os.umask(0o077)


def log_as(settings: Settings) -> None:
    """Write the log as the settings say from here on."""
    # Imported here: it needs protobuf, which `prepare` has to go before.
    from gerbang_service.telemetry.logs import configure  # noqa: PLC0415

    configure(settings.log_format, settings.log_level)


@contextmanager
def telling_why(settings: Settings, name: str, log: logging.Logger) -> Iterator[None]:
    """End the process, with a message and its exit status, when it has to be refused or given up."""
    try:
        yield
    except StartupError as error:
        if settings.log_format == "json":
            log.critical("%s", error)
        else:
            print(f"gerbang {name}: {error}", file=sys.stderr, flush=True)
        sys.exit(EXIT_FAILED if isinstance(error, Failed) else EXIT_REFUSED)


def say(line: str) -> None:
    """Say something to who began this process."""
    print(line, flush=True)


def say_alive() -> None:
    """Tell the supervisor that this process is alive, unless it does not listen: that must not hold this one up."""
    if select.select([], [sys.stdout], [], 0)[1]:
        with suppress(ConnectionError):
            say(ALIVE)


def run(serving: Coroutine[Any, Any, None]) -> None:
    """Run `serve` to its end, in an event loop of uvloop's: a call costs it a tenth less (docs/performance.md)."""
    # Imported here: a supervisor, whose loop has little to do, needs it not.
    import uvloop  # noqa: PLC0415

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serving)


async def serve(
    settings: Settings,
    attend: Callable[[Server], object] = lambda _: None,
    inherited: Inherited | None = None,
) -> None:
    """Run a server until SIGTERM, Ctrl-C, or until it is stopped by whatever `attend` begins, which is given it.

    `inherited`: the gallery that this process was forked with, if it was. Prints "listening on HOST:PORT" and "ready".
    Raises StartupError.
    """
    # Imported here, so that `gerbang serve --help`, and a supervisor, need no neural network runtime.
    from gerbang_service.running.server import Server  # noqa: PLC0415

    # Once for the process: changing filters around a call is not safe in threads.
    warnings.filterwarnings("ignore", module="PIL")  # of odd metadata; the pixels decide
    warnings.filterwarnings(
        "ignore", "`estimate` is deprecated", FutureWarning
    )  # insightface 2.1 with scikit-image 0.26
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    server = Server(settings, inherited)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    attend(server)
    await server.run(say)
