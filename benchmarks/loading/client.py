"""One client process: connected to every target, it runs the phases it is told of."""

from __future__ import annotations

import asyncio
import gc
import selectors
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.loading import unary
from benchmarks.loading.channels import open_channel
from benchmarks.loading.decks import Deck
from benchmarks.loading.kinds import KINDS, Asked
from benchmarks.loading.phase import Phase, share
from benchmarks.loading.schedule import arrivals
from benchmarks.loading.streams import Stream
from benchmarks.loading.tally import Counting

PROGRESS_S = 0.5
_CONNECT_S = 10.0
# After the window, the last answers of a stream may take so long.
_STREAM_GRACE_S = 10.0


@dataclass(frozen=True)
class Setup:
    """What a client process is started with. `part`: its number and how many there are; `channels`: for each target."""

    targets: Sequence[str]
    decks: Mapping[str, Deck]
    channels: int
    part: tuple[int, int]


def main(setup: Setup, wire: Connection) -> None:
    """Run phases until the connection to the parent closes. Entry point of the process."""
    # Its timeouts are of microseconds; epoll's are rounded up to milliseconds, which would show in every latency.
    runner = asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector()))
    with runner:
        runner.run(_Client(setup, wire).run())


class _Client:
    def __init__(self, setup: Setup, wire: Connection) -> None:
        self._setup = setup
        self._wire = wire
        self._decks: dict[str, Iterator[Asked]] = {
            name: deck.requests(setup.part[0]) for name, deck in setup.decks.items()
        }

    async def run(self) -> None:
        channels = [[open_channel(each) for _ in range(self._setup.channels)] for each in self._setup.targets]
        try:
            for target, pool in zip(self._setup.targets, channels, strict=True):
                await self._connected(target, pool)
            gc.freeze()
            self._wire.send("connected")
            while (phase := await asyncio.to_thread(self._next_phase)) is not None:
                await self._phase(phase, channels[phase.target])
        finally:
            for pool in channels:
                await asyncio.gather(*(each.close() for each in pool))

    async def _connected(self, target: str, pool: Sequence[Any]) -> None:
        try:
            async with asyncio.timeout(_CONNECT_S):
                await asyncio.gather(*(each.channel_ready() for each in pool))
        except TimeoutError:
            self._wire.send(f"no server answers at {target}")
            raise SystemExit(1) from None

    def _next_phase(self) -> Phase | None:
        try:
            phase: Phase | None = self._wire.recv()
        except EOFError:
            return None
        return phase

    async def _phase(self, phase: Phase, pool: Sequence[Any]) -> None:
        begin = time.perf_counter() + phase.warm_up_s
        counting = Counting(KINDS[phase.kind], begin, begin + phase.seconds, phase.check_every)
        asyncio.get_running_loop().call_later(phase.warm_up_s, counting.start_window)
        progress = asyncio.create_task(self._report(counting))
        await self._load(phase, pool, counting)
        progress.cancel()
        self._wire.send(counting.tally())

    async def _report(self, counting: Counting) -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            self._wire.send((counting.finished, counting.failed))

    async def _load(self, phase: Phase, pool: Sequence[Any], counting: Counting) -> None:
        part, parts = self._setup.part
        mine = replace(
            phase,
            clients=share(phase.clients, part, parts),
            most_waiting=max(share(phase.most_waiting, part, parts), 1),
        )
        start, total = counting.begin - phase.warm_up_s, phase.warm_up_s + phase.seconds
        times = None
        if phase.rate is not None:
            times = start + arrivals(phase.rate, total, phase.arrivals, self._setup.part, phase.seed)
        deck, kind = self._decks[phase.kind], phase.of_kind
        if kind.stream:
            await self._streams(mine, pool, counting, times)
            return
        calls = [each.unary_unary(kind.path) for each in pool]
        if times is None:
            await unary.closed(calls, deck, counting, mine.clients, phase.deadline_s)
        else:
            await unary.opened(calls, deck, counting, times, mine.most_waiting, phase.deadline_s)

    async def _streams(self, phase: Phase, pool: Sequence[Any], counting: Counting, times: Any) -> None:  # noqa: ANN401
        count = len(pool) if times is not None else min(len(pool), phase.clients)
        deadline_s = phase.warm_up_s + phase.seconds + _STREAM_GRACE_S
        deck = self._decks[phase.kind]
        streams = [Stream(each.stream_stream(phase.of_kind.path), deck, counting, deadline_s) for each in pool[:count]]
        if times is None:
            await asyncio.gather(*(each.closed(share(phase.clients, i, count)) for i, each in enumerate(streams)))
        else:
            most = max(phase.most_waiting // count, 1)
            await asyncio.gather(*(each.opened(times[i::count], most) for i, each in enumerate(streams)))
