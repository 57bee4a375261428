"""The two kinds of contenders: servers behind this project's wire, and databases asked by a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from benchmarks.contest.closed_loop import Measured
from benchmarks.loading.crew import Crew
from benchmarks.loading.decks import Deck
from benchmarks.loading.phase import Phase
from benchmarks.machine import without_thread_limits

Options = Mapping[str, Any]
WARM_UP_S = 0.5
# A slow database's longest call, with dozens of others waiting.
_DEADLINE_S = 120.0
_REPOSITORY = Path(__file__).resolve().parents[2]


class Unable(Exception):
    """A contender can't be had here, or can't do what a setting asks."""


class Contender(Protocol):
    """Something that answers probes; each method raises Unable, saying why."""

    name: str

    def apply(self, options: Options) -> None:
        """Take a setting."""

    def measure(self, clients: int, batch: int, seconds: float) -> Measured:
        """Keep so many calls of `batch` probes in flight for so long."""

    def close(self) -> None:
        """End its processes."""

    def versions(self) -> dict[str, str]:
        """Return the versions of what it is made of, where they are its own."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program that serves, and what its environment has beside the usual."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


class WireContender(ABC):
    """A server that speaks this project's protos, started anew for each setting."""

    def __init__(self, name: str, decks: Mapping[int, Deck], *, checked: bool = True) -> None:
        """`decks`: what is asked, by the batch's size. `checked`: answers name the mates."""
        self.name = name
        self._decks = {_kind(batch): deck for batch, deck in decks.items()}
        self._check_every = int(checked)
        self._process: subprocess.Popen[str] | None = None
        self._crew: Crew | None = None
        self._applied: Options = {}

    @abstractmethod
    def command(self, options: Options) -> Command:
        """Return what serves under a setting."""

    def started(self, address: str) -> None:  # noqa: B027 - most need nothing
        """Wait for what has to be done before it is at its best."""

    def apply(self, options: Options) -> None:
        """Start the server and connect the clients, unless that is how it runs."""
        if self._crew is not None and self._applied == options:
            return
        self.close()
        wanted = self.command(options)
        environment = {**without_thread_limits(), **wanted.environment}
        self._process = subprocess.Popen(wanted.arguments, stdout=subprocess.PIPE, text=True, env=environment)
        address = self._line("listening on ")
        self._line("ready")
        self.started(address)
        self._crew = Crew([address], self._decks, processes=1, channels=4)
        self._applied = options

    def measure(self, clients: int, batch: int, seconds: float) -> Measured:
        """Run a phase of load; every answer with a known mate is checked."""
        if self._crew is None:
            raise Unable("no setting was applied")
        phase = Phase(
            target=0,
            kind=_kind(batch),
            seconds=seconds,
            warm_up_s=WARM_UP_S,
            clients=clients,
            deadline_s=_DEADLINE_S,
            check_every=self._check_every,
        )
        tally = self._crew.run(phase)
        if tally.errors:
            raise Unable(f"calls failed: {dict(tally.errors)}")
        return Measured(tally.answered, tally.seconds, tally.missed, tally.checked)

    def close(self) -> None:
        """End the clients and the server."""
        if self._crew is not None:
            self._crew.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
        self._crew = self._process = None

    def versions(self) -> dict[str, str]:
        """Return none: they are this environment's."""
        return {}

    def _line(self, prefix: str) -> str:
        assert self._process is not None  # noqa: S101 - called after the start
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        line = self._process.stdout.readline().rstrip("\n")
        if not line.startswith(prefix):
            raise Unable(f"the server did not start: {line!r}")
        return line.removeprefix(prefix)


def _kind(batch: int) -> str:
    return "identify" if batch == 1 else "identify-batch"


class Serving(WireContender):
    """A WireContender of one fixed program, with arguments made from the setting: {"ef": 512} gives --ef 512."""

    def __init__(
        self, name: str, module: str, arguments: Sequence[str], decks: Mapping[int, Deck], *, checked: bool = True
    ) -> None:
        super().__init__(name, decks, checked=checked)
        self._arguments = [sys.executable, "-m", module, *arguments]

    def command(self, options: Options) -> Command:
        """Return the program with its arguments."""
        chosen = [each for name, value in options.items() for each in (f"--{name}", str(value))]
        threads = str(options.get("threads", 1))
        return Command([*self._arguments, *chosen], {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads})


class DatabaseContender:
    """A database, started, filled and asked by a program of the peers' environment. See benchmarks.contest.commands."""

    def __init__(self, name: str, python: Path, module: str, arguments: Sequence[str]) -> None:
        self.name = name
        environment = {**without_thread_limits(), "PYTHONPATH": str(_REPOSITORY), "PYTHONWARNINGS": "ignore"}
        self._process = subprocess.Popen(
            [str(python), "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=os.fspath(_REPOSITORY),
        )
        self._versions: dict[str, str] = self._answer()["versions"]

    def apply(self, options: Options) -> None:
        """Have the setting taken; may build an index for many minutes."""
        self._ask({"do": "apply", "options": dict(options)})

    def measure(self, clients: int, batch: int, seconds: float) -> Measured:
        """Have a closed loop run."""
        command = {"do": "measure", "clients": clients, "batch": batch, "seconds": seconds, "warm_up_s": WARM_UP_S}
        return Measured(**self._ask(command))

    def versions(self) -> dict[str, str]:
        """Return what the process found installed."""
        return self._versions

    def close(self) -> None:
        """End the process, which ends the database."""
        self._pipe(self._process.stdin).close()
        self._process.wait(180)

    def _ask(self, command: Mapping[str, Any]) -> dict[str, Any]:
        wire = self._pipe(self._process.stdin)
        wire.write(json.dumps(command) + "\n")
        wire.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise Unable(f"its process ended with status {self._process.wait(60)}; its error is above")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise Unable(said["error"])
        return said

    def _pipe(self, pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None  # noqa: S101 - pipes were asked for
        return pipe
