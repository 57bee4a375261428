"""The process that workers are forked from: `python -m gerbang_service.running.nursery FILE`, begun by the supervisor.

It loads the gallery, follows what is written, and serves nobody. A worker that is forked from it has the gallery at
once, and shares the memory of whatever neither of them changes.

The first line of its standard input is its settings as JSON; its end means that the supervisor is gone. To standard
output it writes "ready", and a line each second, as a sign that it is alive. FILE is the descriptor of a socket at
which workers are asked for.
"""

from __future__ import annotations

import logging
import select
import socket
import sys
import time
from typing import TYPE_CHECKING

from gerbang_service.configuration.settings import Settings
from gerbang_service.running import process, worker
from gerbang_service.running.newborn import fork_worker, name_process

if TYPE_CHECKING:
    from gerbang_service.running.brood import Brood

log = logging.getLogger("gerbang_service.running.nursery")  # not __main__, as which it is run

# How long it rests between two looks for what was written, at least and at most, seconds: what was deleted has to go
# from its memory too. In between, so many times as long as a look took: workers catch up by themselves, and need the
# processors more while people are enrolled in bulk.
_REST_S, _LONGEST_REST_S = 0.05, 1.0
_RESTS = 4


def main() -> None:
    """Hold the gallery and fork workers, until the supervisor is gone; in each of these, serve."""
    process.prepare()
    name_process("gerbang-nursery")
    told = sys.stdin.readline()
    if not told:
        return
    settings = Settings.from_json(told)
    process.log_as(settings)
    with process.telling_why(settings, "nursery", log), socket.socket(fileno=int(sys.argv[1])) as control:
        # Imported here: `prepare` goes before. The server, so that workers need not import it, and share it.
        import gerbang_service.running.server  # noqa: F401, PLC0415
        from gerbang_service.running.brood import Brood  # noqa: PLC0415

        brood = Brood(settings)
        if not _tend(brood, control):
            return
    worker.main(brood.inherited)


def _tend(brood: Brood, control: socket.socket) -> bool:
    """Follow and fork until the supervisor is gone; returns False then, and True in each worker."""
    brood.look()
    process.say("ready")
    beat_at = rest_s = 0.0
    while True:
        asked, _, _ = select.select([sys.stdin, control], [], [], rest_s)
        if sys.stdin in asked:  # its end: nothing more is said there
            return False
        if control in asked:
            # First: from one that can't follow any more nobody is to be forked.
            brood.look()
            brood.let_go()
            try:
                if fork_worker(control):
                    return True
            except EOFError:
                return False
        began = time.monotonic()
        brood.look()
        rest_s = min(max(_REST_S, _RESTS * (time.monotonic() - began)), _LONGEST_REST_S)
        if began - beat_at >= process.BEATS_EVERY_S:
            beat_at = began
            process.say_alive()


if __name__ == "__main__":
    main()
