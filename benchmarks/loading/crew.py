"""Several client processes as one."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Self

from benchmarks.loading import client
from benchmarks.loading.decks import Deck
from benchmarks.loading.phase import Phase
from benchmarks.loading.tally import Tally

_START_S = 60.0


class Crew:
    """Client processes, connected to every target when the constructor returns. Not thread-safe.

    Raises SystemExit when a target does not answer, or a client process ends.
    """

    def __init__(self, targets: Sequence[str], decks: Mapping[str, Deck], processes: int, channels: int) -> None:
        """`decks`: what is asked, by kind. `channels`: connections of each process to each target."""
        context = multiprocessing.get_context("spawn")
        self._wires: list[Connection] = []
        self._processes = []
        for number in range(processes):
            ours, theirs = context.Pipe()
            setup = client.Setup(targets, decks, channels, (number, processes))
            process = context.Process(target=client.main, args=(setup, theirs), daemon=True)
            process.start()
            theirs.close()
            self._wires.append(ours)
            self._processes.append(process)
        for wire in self._wires:
            if not wire.poll(_START_S):
                raise SystemExit("a client process did not start in time")
            if (said := self._received(wire)) != "connected":
                raise SystemExit(str(said))

    def run(self, phase: Phase) -> Tally:
        """Run one phase in all processes; return what they counted together."""
        for wire in self._wires:
            wire.send(phase)
        total, open_wires = Tally(), list(self._wires)
        done = dict.fromkeys(self._wires, (0, 0))
        progress = _Progress(phase)
        while open_wires:
            readable = wait(open_wires)
            for wire in [each for each in open_wires if each in readable]:
                said = self._received(wire)
                if isinstance(said, Tally):
                    total.merge(said)
                    open_wires.remove(wire)
                elif isinstance(said, tuple):
                    done[wire] = said
                    progress.show(sum(each for each, _ in done.values()), sum(each for _, each in done.values()))
        progress.clear()
        return total

    def close(self) -> None:
        """End the processes."""
        for wire in self._wires:
            wire.close()
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()

    def _received(self, wire: Connection) -> object:
        try:
            said: object = wire.recv()
        except EOFError:
            raise SystemExit("a client process ended: see its error above") from None
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Progress:
    """A live line on a terminal's standard error; nothing elsewhere."""

    def __init__(self, phase: Phase) -> None:
        self._phase = phase
        self._last = (time.monotonic(), 0)
        self._started = self._last[0]

    def show(self, finished: int, failed: int) -> None:
        if not sys.stderr.isatty() or (now := time.monotonic()) - self._last[0] < client.PROGRESS_S:
            return
        rate = (finished - self._last[1]) / (now - self._last[0])
        self._last = (now, finished)
        passed = now - self._started - self._phase.warm_up_s
        stage = f"{passed:3.0f} of {self._phase.seconds:.0f} s" if passed >= 0 else "warming up"
        line = f"{self._phase.kind}: {stage}, {rate:,.0f} calls/s, {finished:,} answered, {failed:,} failed"
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
