"""Fresh at once: templates are enrolled one by one while clients identify whoever was acknowledged last.

Every acknowledged template must be found by the next call of another client, and searches must stay quick. Prints what
was counted, and exits 1 when an answer was stale or failed.

    python benchmarks/fresh.py --templates 100000 --clients 8
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from gerbang import AsyncGateClient, AsyncWatchlistClient, GerbangError
from running import FreshServer

DIMENSION = 512
LIST = "fresh"


@dataclass
class Latency:
    """Milliseconds."""

    searches: int
    p50: float
    p99: float
    worst: float

    @classmethod
    def of(cls, seconds: list[float]) -> Latency:
        """Summarise."""
        p50, p99, worst = np.percentile(np.array(seconds) * 1e3, [50, 99, 100])
        return cls(len(seconds), round(float(p50), 3), round(float(p99), 3), round(float(worst), 3))


@dataclass
class Run:
    """What the clients share."""

    acknowledged: list[tuple[str, bytes, int]] = field(default_factory=list)
    stale: int = 0
    errors: int = 0
    done: bool = False


def template(random: np.random.Generator) -> np.ndarray:
    """Return a face-like template (docs/search.md)."""
    scale = np.arange(1, DIMENSION + 1) ** -0.25
    vector = random.standard_normal(DIMENSION) * scale
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


async def gate(client: AsyncGateClient, run: Run, times: list[float], pause_s: float) -> None:
    """Identify whoever was acknowledged last, again and again."""
    while not run.done:
        subject, vector, _ = run.acknowledged[-1]
        started = time.perf_counter()
        try:
            answer = await client.identify(np.frombuffer(vector, np.float32), watchlists=[LIST], timeout=10)
        except GerbangError as error:
            run.errors += 1
            print("failed:", error)
            continue
        times.append(time.perf_counter() - started)
        run.stale += subject not in {found.subject_id for found in answer.candidates}
        await asyncio.sleep(pause_s)


async def enrol(office: AsyncWatchlistClient, run: Run, count: int, random: np.random.Generator) -> None:
    """Enrol `count` people one by one, each after the one before was acknowledged."""
    for i in range(count):
        vector = template(random)
        name = f"s{len(run.acknowledged):07}"
        answer = await office.enroll(name, [vector], watchlists=[LIST])
        run.acknowledged.append((name, vector.tobytes(), answer.revision))
        if i % 5000 == 4999:
            print(f"{i + 1} enrolled")


async def measure(address: str, templates: int, clients: int, idle_s: float, pause_s: float) -> dict[str, object]:
    """Run the idle phase and the busy one, and return what was counted."""
    random = np.random.default_rng(1)
    run = Run()
    async with AsyncExitStack() as stack:
        office = await stack.enter_async_context(AsyncWatchlistClient(address))
        gates = [await stack.enter_async_context(AsyncGateClient(address)) for _ in range(clients)]
        await office.create_watchlist(LIST)
        await enrol(office, run, 1000, random)

        async def phase(work: asyncio.Future[None] | asyncio.Task[None]) -> Latency:
            times: list[float] = []
            run.done = False
            asking = [asyncio.create_task(gate(each, run, times, pause_s)) for each in gates]
            await work
            run.done = True
            await asyncio.gather(*asking)
            return Latency.of(times)

        small = await phase(asyncio.ensure_future(asyncio.sleep(idle_s)))
        started = time.perf_counter()
        busy = await phase(asyncio.ensure_future(enrol(office, run, templates - 1000, random)))
        elapsed = time.perf_counter() - started
        idle = await phase(asyncio.ensure_future(asyncio.sleep(idle_s)))
        info = await office.server_info()
    return {
        "templates": info.gallery_size,
        "clients": clients,
        "pause between calls, s": pause_s,
        "enrolled per second, one by one": round((templates - 1000) / elapsed, 1),
        "errors": run.errors,
        "stale": run.stale,
        "idle at 1,000, ms": asdict(small),
        "while enrolling, ms": asdict(busy),
        "idle at the end, ms": asdict(idle),
        "p99 while enrolling over idle at the end": round(busy.p99 / idle.p99, 2),
        "graph": {"indexed": info.graph.indexed, "pending": info.graph.pending},
        "recall check": {"audited": info.audit.audited, "missed": info.audit.missed, "skipped": info.audit.skipped},
    }


def main() -> int:
    """Run it against a server of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--templates", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--idle", type=float, default=20.0, help="seconds of each idle phase")
    parser.add_argument("--pause", type=float, default=0.04, help="seconds that a client waits between two calls")
    parser.add_argument("--json", type=Path, help="write the result to this file too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        serve = ("--pack", "none", "--dimension", str(DIMENSION), "--threshold", "0.5")
        with FreshServer(Path(folder) / "data", *serve) as server:
            result = asyncio.run(
                measure(server.address, options.templates, options.clients, options.idle, options.pause)
            )
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")
    return 1 if result["errors"] or result["stale"] else 0


if __name__ == "__main__":
    sys.exit(main())
