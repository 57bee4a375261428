"""A day at an airport in minutes: 120 gates, 40 counters, an office at work; every answer is checked against the truth.

Travellers come in waves, a planeload at a time. Whoever was put on a list before a call began must be hit by it, with
the exact similarity, lists and action; whoever was taken off, deleted or has expired must not; nor must strangers.
Whoever is being changed during a call may be either. At the end everybody is looked up once more, in batches. Exits 1
when an answer was wrong or a call failed.

    python -m benchmarks.gate_day --minutes 2 --travellers 30000
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.airport.ledger import Ledger
from benchmarks.airport.office import Office
from benchmarks.airport.people import Person, Vector, faces, photographed
from benchmarks.airport.posts import THRESHOLD, Rules, Traveller, check_found, identify, verify
from benchmarks.airport.timetable import clock, travellers
from benchmarks.galleries import DIMENSION
from benchmarks.loading.report import write
from benchmarks.loading.serving import serving

from gerbang import AsyncCounterClient, AsyncGateClient, AsyncWatchlistClient, GerbangError
from gerbang_service.cli.demo.truth import LISTS

# A connection for each post, as at an airport: gRPC shares one among equal channels otherwise.
_OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
# Shares of the travellers; of those who are known, whose entry was the latest to change, or one of the latest: stale
# answers show there.
_STRANGERS, _LATEST, _RECENT = 0.7, 0.25, 0.4
_COSINES = (0.6, 0.95)
_STRANGER_FACES = 2000
_BATCH = 64


class Day:
    """One day, at one server. Belongs to one event loop."""

    def __init__(self, address: str, options: argparse.Namespace) -> None:
        self._address = address
        self._options = options
        self._random = np.random.default_rng(options.seed)
        self._strangers = faces(_STRANGER_FACES, self._random)
        self._rules = Rules(f"-{secrets.token_hex(3)}", options.lag)
        self._queues: dict[str, asyncio.Queue[float]] = {each: asyncio.Queue() for each in ("arrival", "departure")}
        self.ledger = Ledger()

    async def run(self) -> dict[str, Any]:
        """Live through it; returns what was counted."""
        options = self._options
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(AsyncWatchlistClient(self._address, timeout=30))
            gates = [
                await stack.enter_async_context(AsyncGateClient(self._address, options=_OWN_CONNECTION))
                for _ in range(options.gates)
            ]
            counters = [
                await stack.enter_async_context(AsyncCounterClient(self._address, options=_OWN_CONNECTION))
                for _ in range(options.counters)
            ]
            self._office = Office(client, self._rules, self.ledger, self._random)
            await self._office.open(options.people)
            print(f"{options.people:,} people enrolled, the gates open", flush=True)
            took_s = await self._open_hours(gates, counters)
            await self._audit(gates[0])
        return {
            "travellers": options.travellers,
            "took_s": round(took_s, 1),
            "enrolled_in_all": len(self._office.population.people),
            **self.ledger.summary(),
        }

    async def _open_hours(self, gates: Sequence[AsyncGateClient], counters: Sequence[AsyncCounterClient]) -> float:
        started = time.monotonic()
        end = started + self._options.minutes * 60
        pause_s = self._options.desks / self._options.changes
        directions = ("arrival", "departure")
        async with asyncio.TaskGroup() as crowd:
            posts = [crowd.create_task(self._gate(each, directions[i % 2])) for i, each in enumerate(gates)]
            posts += [crowd.create_task(self._counter(each, end)) for each in counters]
            desks = [crowd.create_task(self._office.work(pause_s, end)) for _ in range(self._options.desks)]
            live = crowd.create_task(self._live(started))
            for direction in directions:
                crowd.create_task(self._arrive(direction, started))
            await asyncio.gather(*desks)
            for queue in self._queues.values():
                await queue.join()
            live.cancel()
            for post in posts[: len(gates)]:
                post.cancel()
        return time.monotonic() - started

    async def _arrive(self, direction: str, started: float) -> None:
        seconds = self._options.minutes * 60
        for when in travellers(self._options.travellers // 2, seconds * 0.98, self._random).tolist():
            if (early := started + when - time.monotonic()) > 0:
                await asyncio.sleep(early)
            self._queues[direction].put_nowait(time.perf_counter())

    async def _gate(self, gate: AsyncGateClient, direction: str) -> None:
        queue = self._queues[direction]
        while True:
            came = await queue.get()
            revision = self._office.population.revision if self._options.min_revision else 0
            try:
                await identify(gate, self._traveller(), direction, self._rules, self.ledger, revision)
            finally:
                queue.task_done()
            self.ledger.count("identify, from coming to the gates", time.perf_counter() - came)

    async def _counter(self, counter: AsyncCounterClient, end: float) -> None:
        while time.monotonic() < end:
            traveller = self._traveller()
            claimed = self._known()
            if self._random.random() < 0.7:  # most tell the truth
                traveller = Traveller(self._photo(claimed.face), claimed)
            await verify(counter, traveller, claimed, self._rules, self.ledger)
            await asyncio.sleep(self._random.exponential(self._options.counter_pause))

    async def _audit(self, gate: AsyncGateClient) -> None:
        people = self._office.population.people
        lists = [self._rules.list_id(name) for name in LISTS]
        for start in range(0, len(people), _BATCH):
            group = [Traveller(self._photo(each.face), each) for each in people[start : start + _BATCH]]
            call = gate.identify_batch([each.probe for each in group], watchlists=lists, direction="both", timeout=30)
            called = await self.ledger.timed("identify batch of 64", call)
            if isinstance(called.answer, GerbangError):
                self.ledger.failed("identify batch of 64", called.answer)
                continue
            for answer, traveller in zip(called.answer, group, strict=True):
                check_found(answer, traveller, "both", self._rules, self.ledger, (called.began, called.ended))

    def _traveller(self) -> Traveller:
        if self._random.random() < _STRANGERS:
            face = self._strangers[int(self._random.integers(len(self._strangers)))]
            return Traveller(self._photo(face), None)
        person = self._known()
        return Traveller(self._photo(person.face), person)

    def _known(self) -> Person:
        population, chance = self._office.population, self._random.random()
        if chance < _LATEST:
            return population.recent[-1]
        pool = population.recent if chance < _LATEST + _RECENT else population.people
        return pool[int(self._random.integers(len(pool)))]

    def _photo(self, face: Vector) -> Vector:
        return photographed(face, float(self._random.uniform(*_COSINES)), self._random)

    async def _live(self, started: float) -> None:
        while sys.stderr.isatty():
            part = (time.monotonic() - started) / (self._options.minutes * 60)
            waiting = sum(each.qsize() for each in self._queues.values())
            line = (
                f"{clock(part)}: {self.ledger.checked:,} answers checked, {self.ledger.wrong} wrong, {waiting} waiting"
            )
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
            await asyncio.sleep(0.5)


def main(arguments: Sequence[str] | None = None) -> int:
    """Live through a day; returns the exit status."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="gerbang-day-") as folder:
        own = serving(
            Path(folder) / "data",
            None,
            "--threshold",
            str(THRESHOLD),
            "--dimension",
            str(DIMENSION),
            *options.serve_option,
        )
        with nullcontext() if options.target else own as server:
            address = options.target if server is None else server.address
            result = asyncio.run(Day(address, options).run())
    for kind, each in result["latency_ms"].items():
        print(
            f"{kind}: {each['calls']:,} calls, p50 {each['p50']:.1f}, p99 {each['p99']:.1f}, max {each['max']:.1f} ms"
        )
    print(f"{result['travellers']:,} travellers in {result['took_s']} s; errors: {result['errors'] or 'none'}")
    if options.json:
        settings = {name: value for name, value in vars(options).items() if name not in ("json", "target")}
        write(options.json, {"settings": settings, **result})
    right = not result["wrong"] and not result["errors"]
    print(f"{result['checked']:,} answers checked: {'all right' if right else 'NOT ALL RIGHT'}")
    return 0 if right else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--target", help="HOST:PORT of a running server with threshold 0.45 (default: one of its own)")
    add("--serve-option", action="append", default=[], help="for `gerbang serve`, as --serve-option=--workers=2")
    add("--minutes", type=float, default=2.0, help="that the day takes")
    add("--travellers", type=int, default=30_000, help="through the gates, over the day")
    add("--gates", type=int, default=120, help="half for arrival, half for departure")
    add("--counters", type=int, default=40)
    add("--counter-pause", type=float, default=0.5, help="seconds between two travellers at a counter, on average")
    add("--people", type=int, default=5_000, help="enrolled before the day begins")
    add("--desks", type=int, default=3, help="of the office, which make one change at a time each")
    add("--changes", type=float, default=30.0, help="a second that the office makes, at most")
    add("--min-revision", action="store_true", help="gates ask for the state of the latest acknowledged change")
    add("--lag", type=float, default=0.0, help="seconds that an answer may be behind (several workers: 0.1)")
    add("--seed", type=int, default=1)
    add("--json", type=Path, help="write the result to this file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
