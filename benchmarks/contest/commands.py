"""How a database's process is told what to do: a line of JSON in, a line of JSON out. Runs in the peers' environment.

    {"do": "apply", "options": {...}}                                  -> {"ok": true}
    {"do": "measure", "clients": 2, "batch": 1, "seconds": 2, "warm_up_s": 0.5}  -> {"answered": ..., ...}

What fails answers {"error": "..."}. The process ends when its input does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from benchmarks.contest.closed_loop import Loop, Session, Vectors, Window, as_json


class Peer(Protocol):
    """A database that holds the templates."""

    def versions(self) -> dict[str, str]:
        """Return what is measured."""

    def apply(self, options: dict[str, Any]) -> None:
        """Take a setting; builds what it needs and is missing."""

    def session(self) -> Session:
        """Open a client's connection under that setting."""


def serve(open_peer: Callable[[Path, Vectors], AbstractContextManager[Peer]]) -> None:
    """Open the database over --data with the rows of --templates, and obey until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--templates", type=Path, required=True)
    parser.add_argument("--probes", type=Path, required=True, help="an .npz of probes and mates")
    wanted = parser.parse_args()
    asked = np.load(wanted.probes)
    loop = Loop(asked["probes"], asked["mates"])
    # The answers have the output to themselves, whatever a library prints.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    with open_peer(wanted.data, np.load(wanted.templates, mmap_mode="r")) as peer:
        answers.write(json.dumps({"versions": peer.versions()}) + "\n")
        for line in sys.stdin:
            answers.write(json.dumps(_obeyed(peer, loop, json.loads(line))) + "\n")


def _obeyed(peer: Peer, loop: Loop, command: dict[str, Any]) -> dict[str, Any]:
    try:
        if command["do"] == "apply":
            peer.apply(command["options"])
            return {"ok": True}
        window = Window(command["seconds"], command["warm_up_s"])
        return as_json(loop.run(peer.session, command["clients"], command["batch"], window))
    except Exception as error:  # noqa: BLE001 - the benchmark prints it, and goes on without this setting
        return {"error": f"{type(error).__name__}: {error}"}
