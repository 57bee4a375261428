"""One of several processes that serve a port, forked from the nursery.

The first line of its standard input is its settings as JSON; then come bytes that tell whether the nursery is ready.
Its end means that the supervisor is gone. To standard output it writes what a server says, and a line each second from
its event loop, as a sign that it turns.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from gerbang_service.configuration.settings import Settings
from gerbang_service.running import process

if TYPE_CHECKING:
    from gerbang_service.running.galleries import Inherited
    from gerbang_service.running.server import Server

log = logging.getLogger(__name__)

NURSERY_READY, NURSERY_GONE = b"+", b"-"


def main(inherited: Inherited | None) -> None:
    """Serve until SIGTERM, or the end of standard input."""
    process.keep_private()
    # Not a byte more than this line: the rest is read as it comes.
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as unbuffered:
        told = unbuffered.readline()
    if not told:
        return
    settings = Settings.from_json(told.decode())
    with process.telling_why(settings, "worker", log):
        process.run(process.serve(settings, _with_supervisor, inherited))


def _with_supervisor(server: Server) -> None:
    """Stop with the supervisor, and tell it that this process is alive, from the event loop on."""
    loop = asyncio.get_running_loop()

    def told() -> None:
        said = b""
        with suppress(ConnectionError):
            said = os.read(sys.stdin.fileno(), 64)
        if said:
            server.nursery_ready = said.endswith(NURSERY_READY)
        else:
            loop.remove_reader(sys.stdin.fileno())
            server.stop()

    loop.add_reader(sys.stdin.fileno(), told)

    def beat() -> None:
        process.say_alive()
        loop.call_later(process.BEATS_EVERY_S, beat)

    # Once the loop turns: the parts are made before, which takes as long as it takes.
    loop.call_soon(beat)
