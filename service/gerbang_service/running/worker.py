"""One of several processes that serve a port: `python -m gerbang_service.running.worker`, begun by the supervisor.

The first line of its standard input is its settings as JSON. Its end means that the supervisor is gone. To standard
output it writes what a server says, and a line each second from its event loop, as a sign that it turns.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import sys
from collections.abc import Callable
from contextlib import suppress

from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import Failed, StartupError
from gerbang_service.running import process

log = logging.getLogger("gerbang_service.running.worker")  # not __main__, as which it is run


def main() -> None:
    """Serve until SIGTERM, or the end of standard input."""
    process.prepare()
    settings = Settings.from_json(sys.stdin.readline())
    process.log_as(settings)
    try:
        asyncio.run(process.serve(settings, _with_supervisor))
    except StartupError as error:
        if settings.log_format == "json":
            log.critical("%s", error)
        else:
            print(f"gerbang worker: {error}", file=sys.stderr, flush=True)
        sys.exit(process.EXIT_FAILED if isinstance(error, Failed) else process.EXIT_REFUSED)


def _with_supervisor(stop: Callable[[], None]) -> None:
    """Stop with the supervisor, and tell it that this process is alive, from the event loop on."""
    loop = asyncio.get_running_loop()

    def ended() -> None:
        if not os.read(sys.stdin.fileno(), 1):
            loop.remove_reader(sys.stdin.fileno())
            stop()

    loop.add_reader(sys.stdin.fileno(), ended)

    def beat() -> None:
        # Only what the pipe takes at once: a supervisor that does not read must not hold this process up.
        if select.select([], [sys.stdout], [], 0)[1]:
            with suppress(BrokenPipeError):
                print(process.ALIVE, flush=True)
        loop.call_later(process.BEATS_EVERY_S, beat)

    # Once the loop turns: the parts are made before, which takes as long as it takes.
    loop.call_soon(beat)


if __name__ == "__main__":
    main()
