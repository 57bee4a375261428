"""Ten times what the server can do, for a minute: whether it keeps answering, and is well right afterwards.

Finds the peak rate in a closed loop, then offers a multiple of it in an open loop with deadlines, with h2load, which
alone can send that much beside the server. Meanwhile a second client sends a few calls of the same kind to see what
becomes of each, and a third, on a connection of its own, asks for the server's health. Writes
benchmarks/results/overload.json; exits 1 when a demand is not met.

    python -m benchmarks.overload --templates 100000 --seconds 60
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import grpc
from benchmarks.galleries import facelike
from benchmarks.loading import decks
from benchmarks.loading.channels import open_blocking_channel
from benchmarks.loading.crew import Crew
from benchmarks.loading.histogram import Histogram
from benchmarks.loading.kinds import KINDS
from benchmarks.loading.phase import Phase
from benchmarks.loading.report import line, write
from benchmarks.loading.serving import resident_mib, serving, wait_for_graph
from benchmarks.loading.tally import Tally
from grpc_health.v1 import health_pb2

from benchmarks import h2load

RESULTS = Path(__file__).resolve().parent / "results"
# What is demanded of the server: share of the peak in useful answers, share of the failed calls that were refused with
# RetryInfo, health's answers within seconds, how much slower than before it may be once the load is over, and how much
# memory the load may cost it.
KEPT, REFUSED_WELL, HEALTH_S, RECOVERED, GROWTH_MIB = 0.8, 0.95, 0.1, 1.5, 200.0
_HEALTH_EVERY_S, _MEMORY_EVERY_S = 0.05, 0.5
_REST_S = 5.0
_IDLE_RATE, _SAMPLE_RATE = 50.0, 20.0
# Of the closed loops that look for the peak.
_PEAK_CONNECTIONS, _FEWEST_STREAMS = 4, 4
_CONNECTIONS = 8


class LookOut:
    """Health and memory of a server, looked at by threads until closed."""

    def __init__(self, address: str, pid: int | None) -> None:
        self.health = Histogram()
        self.unhealthy = 0
        self.memory_mib: list[float] = []
        self._end = threading.Event()
        self._channel = open_blocking_channel(address)
        self._check: Any = self._channel.unary_unary("/grpc.health.v1.Health/Check")
        self._check(b"", timeout=10)
        works: list[tuple[Callable[[], None], float]] = [(self._ask, _HEALTH_EVERY_S)]
        if pid is not None:
            works.append((lambda: self.memory_mib.append(resident_mib(pid)), _MEMORY_EVERY_S))
        self._threads = [threading.Thread(target=self._every, args=work) for work in works]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._end.set()
        for thread in self._threads:
            thread.join()
        self._channel.close()

    def _every(self, work: Callable[[], None], seconds: float) -> None:
        while not self._end.wait(seconds):
            work()

    def _ask(self) -> None:
        started = time.perf_counter()
        try:
            answer = health_pb2.HealthCheckResponse.FromString(self._check(b"", timeout=5))
            self.unhealthy += answer.status != health_pb2.HealthCheckResponse.SERVING
        except grpc.RpcError:
            self.unhealthy += 1
        self.health.add([time.perf_counter() - started])


@contextmanager
def looking_on(address: str, pid: int | None) -> Iterator[LookOut]:
    """Ask for the health of a server, and look at its memory, within the block."""
    lookout = LookOut(address, pid)
    try:
        yield lookout
    finally:
        lookout.close()


def measure(address: str, pid: int | None, options: argparse.Namespace) -> dict[str, Any]:
    """Run all stages; return what was measured, and whether each demand is met."""
    deck = decks.identify(decks.strangers(2000))
    call = h2load.prepared(address, KINDS["identify"], deck.asked[0].body)
    with Crew([address], {"identify": deck}, processes=1, channels=2) as crew:
        peak = _peak(address, call, options.peak_seconds)
        time.sleep(_REST_S)
        before_mib = resident_mib(pid) if pid is not None else None
        before = crew.run(_even(_IDLE_RATE, options.idle_seconds, options.deadline))
        print(line("idle before", before), flush=True)
        with looking_on(address, pid) as lookout:
            flood, sample = _overload(address, call, crew, peak, options)
        ended = time.monotonic()
        print(line("sample during the overload", sample), flush=True)
        time.sleep(max(_REST_S - (time.monotonic() - ended), 0.0))
        after = crew.run(_even(_IDLE_RATE, options.idle_seconds, options.deadline))
        print(line("idle after", after), flush=True)
    health = lookout.health
    result: dict[str, Any] = {
        "peak_per_s": round(peak, 1),
        "asked_for_per_s": round(options.times * peak, 1),
        "offered_per_s": round(flood.sent / flood.seconds, 1),
        "useful_per_s": round(flood.per_s, 1),
        "refused_per_s": round(max(flood.done - flood.answered, 0) / flood.seconds, 1),
        "flood": asdict(flood),
        "sample": sample.summary(),
        "health_ms": {**health.summary_ms(), "asked": health.count, "unhealthy": lookout.unhealthy},
        "memory_mib": {"before": before_mib, "most": max(lookout.memory_mib, default=None)},
        "idle_before": before.summary(),
        "idle_after": after.summary(),
    }
    return {**result, "met": _met(result, before, after, sample, lookout)}


def _met(result: dict[str, Any], before: Tally, after: Tally, sample: Tally, lookout: LookOut) -> dict[str, bool]:
    memory = result["memory_mib"]
    return {
        "useful answers": result["useful_per_s"] >= KEPT * result["peak_per_s"],
        # Of a sample in which nothing was refused there is nothing to say.
        "refusals say when to come back": sample.errors.total() * REFUSED_WELL <= sample.with_retry_info,
        "health": lookout.health.largest_ns <= HEALTH_S * 1e9 and not lookout.unhealthy,
        "memory": memory["most"] is None or memory["most"] - memory["before"] <= GROWTH_MIB,
        "latency afterwards": not after.errors
        and after.latency.percentile(50) <= RECOVERED * before.latency.percentile(50),
    }


def _peak(address: str, call: h2load.Call, seconds: float) -> float:
    """Return the most useful answers a second of closed loops, each twice as large, until two in a row gain nothing."""
    best, worse, streams = 0.0, 0, _FEWEST_STREAMS
    while worse < 2:
        found = h2load.flood(address, call, seconds, h2load.Shape(_PEAK_CONNECTIONS, streams))
        print(f"closed loop, {_PEAK_CONNECTIONS * streams} in flight: {found.per_s:,.1f}/s", flush=True)
        worse = 0 if found.per_s > best else worse + 1
        best, streams = max(best, found.per_s), 2 * streams
    return best


def _overload(
    address: str, call: h2load.Call, crew: Crew, peak: float, options: argparse.Namespace
) -> tuple[h2load.Flood, Tally]:
    rate = options.times * peak
    # More than can be in flight if the server keeps every call until its deadline: the loop stays open.
    streams = int(2 * rate * options.deadline / _CONNECTIONS) + 1
    shape = h2load.Shape(_CONNECTIONS, streams, rate, options.deadline)
    samples: list[Tally] = []
    sampling = _even(_SAMPLE_RATE, options.seconds - 2, options.deadline, warm_up_s=1.0)
    sampler = threading.Thread(target=lambda: samples.append(crew.run(sampling)))
    sampler.start()
    flood = h2load.flood(address, call, options.seconds, shape)
    sampler.join()
    offered, refused = flood.sent / flood.seconds, max(flood.done - flood.answered, 0) / flood.seconds
    print(
        f"overload: {offered:,.1f}/s offered of {rate:,.1f}/s, {flood.per_s:,.1f}/s answered, {refused:,.1f}/s refused"
    )
    return flood, samples[0]


def _even(rate: float, seconds: float, deadline_s: float, warm_up_s: float = 0.5) -> Phase:
    return Phase(0, "identify", seconds, warm_up_s, rate=rate, arrivals="even", deadline_s=deadline_s, check_every=0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--target", help="HOST:PORT of a running server (default: one of its own)")
    add("--pid", type=int, help="of the server at --target, to look at its memory")
    add("--data", type=Path, help="data folder of a server of its own (default: a temporary one, filled)")
    add("--templates", type=int, default=100_000, help="of the temporary data folder")
    add("--serve-option", action="append", default=[], help="for `gerbang serve`, as --serve-option=--workers=2")
    add("--times", type=float, default=10.0, help="of the peak that is offered")
    add("--seconds", type=float, default=60.0, help="of overload")
    add("--peak-seconds", type=float, default=5.0, help="of each closed loop that looks for the peak")
    add("--idle-seconds", type=float, default=5.0, help="of each look at the idle server's latency")
    add("--deadline", type=float, default=1.0, help="of each call, seconds")
    add("--json", type=Path, default=RESULTS / "overload.json", help="where the result goes")
    options = parser.parse_args(arguments)
    if options.target:
        wait_for_graph(options.target)
        result = measure(options.target, options.pid, options)
    else:
        with tempfile.TemporaryDirectory(prefix="gerbang-overload-") as folder:
            data, templates = options.data, None
            if data is None:
                data, templates = Path(folder) / "data", facelike(options.templates)
            with serving(data, templates, "--threshold", "0.45", *options.serve_option) as server:
                result = measure(server.address, server.pid, options)
    for name, met in result["met"].items():
        print(f"{name}: {'met' if met else 'NOT MET'}")
    settings = {name: getattr(options, name) for name in ("templates", "times", "seconds", "deadline", "serve_option")}
    write(options.json, {"settings": settings, **result})
    return 0 if all(result["met"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
