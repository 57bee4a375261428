"""Several workers, one truth: people are enrolled through one connection and identified through others at once.

    python -m benchmarks.workers --count 10000

With `min_revision` no answer may be from before the enrolment. Without it, answers may lag: how long is measured. Then
a worker is killed under load: only its own calls may fail. Exits 1 when a demand is not met. What they take of memory
and bring in rate: sharing.py.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from benchmarks.machine import describe

from gerbang.v1.watchlist_pb2 import Watchlist
from gerbang.v1.watchlist_service_pb2 import CreateWatchlistRequest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from running import RunningServer
from workers.connections import DIMENSION, Connection, to_each_worker, workers_of

RESULT = Path(__file__).resolve().parent / "results" / "workers.json"
_ALLOWED_LAG_MS = 100.0
_KILL_LOAD_S = 3.0


def main() -> int:
    """Run it against a server of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="people, with min_revision and again without")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--json", type=Path, default=RESULT, help="where the figures go")
    wanted = parser.parse_args()
    options = ("--pack", "none", "--dimension", str(DIMENSION), "--threshold", "0.6", "--workers", str(wanted.workers))
    with (
        tempfile.TemporaryDirectory(prefix="gerbang-workers-") as folder,
        RunningServer(Path(folder) / "data", *options) as server,
    ):
        connections = to_each_worker(server.address, wanted.workers)
        watchlist = CreateWatchlistRequest(watchlist=Watchlist(watchlist_id="w"))
        connections[0].office.CreateWatchlist(watchlist)
        result: dict[str, Any] = {
            "workers": wanted.workers,
            "with min_revision": with_revision(connections, wanted.count),
            "without": without_revision(connections, wanted.count),
            "killed": [kill(server, wanted.workers, round_number) for round_number in range(wanted.kills)],
        }
    result["machine"] = describe()
    text = json.dumps(result, indent=1)
    print(text)
    wanted.json.write_text(text + "\n")
    kept = all(each["calls of others that failed"] == 0 and each["replaced"] for each in result["killed"])
    return int(not kept or result["with min_revision"]["stale"] > 0 or result["without"]["lag over 100 ms"] > 0)


def with_revision(connections: list[Connection], count: int) -> dict[str, float]:
    """Enrol through each in turn, and ask the next for that very revision."""
    stale, waits = 0, []
    for number in range(count):
        taker, other = (connections[(number + i) % len(connections)] for i in (0, 1))
        revision = taker.enroll(f"with-{number}", number).revision
        started = time.perf_counter()
        answer = other.identify(number, min_revision=revision)
        waits.append(time.perf_counter() - started)
        found = [each.subject_id for each in answer.candidates]
        stale += answer.revision < revision or f"with-{number}" not in found
    return {"enrolled": count, "stale": stale, **_milliseconds("call", waits)}


def without_revision(connections: list[Connection], count: int) -> dict[str, float]:
    """Enrol through each in turn, and ask the next again and again until it finds who was enrolled."""
    lags, at_once = [], 0
    for number in range(count):
        taker, other = (connections[(number + i) % len(connections)] for i in (0, 1))
        taker.enroll(f"without-{number}", 10**6 + number)
        acknowledged = time.perf_counter()
        asked = acknowledged
        # An answer that finds the person shows the lag to have ended before it was asked for.
        while f"without-{number}" not in other.finds(10**6 + number):
            asked = time.perf_counter()
        at_once += asked == acknowledged
        lags.append(asked - acknowledged)
    late = sum(each * 1e3 > _ALLOWED_LAG_MS for each in lags)
    return {"enrolled": count, "found at once": at_once, "lag over 100 ms": late, **_milliseconds("lag", lags)}


def kill(server: RunningServer, workers: int, round_number: int) -> dict[str, Any]:
    """Kill one worker while all are asked by connections of their own."""
    connections = to_each_worker(server.address, workers)
    failed: list[int] = []
    answered = [0] * workers
    stop = threading.Event()

    def ask(which: int) -> None:
        while not stop.is_set():
            try:
                connections[which].identify(1)
            except grpc.RpcError:
                failed.append(which)
                return
            answered[which] += 1

    threads = [threading.Thread(target=ask, args=(which,)) for which in range(workers)]
    for each in threads:
        each.start()
    time.sleep(_KILL_LOAD_S / 2)
    victim = workers_of(server.pid)[round_number % workers]
    os.kill(victim, signal.SIGKILL)
    killed = time.perf_counter()
    time.sleep(_KILL_LOAD_S / 2)
    stop.set()
    for each in threads:
        each.join()
    anew = to_each_worker(server.address, workers)
    reachable = time.perf_counter() - killed
    alive = {each.worker for each in anew}
    for connection in (*connections, *anew):
        connection.channel.close()
    return {
        "answered": answered,
        "connections that failed": len(failed),
        "calls of others that failed": sum(connections[which].worker in alive for which in failed),
        "replaced": victim not in workers_of(server.pid),
        "all reachable again within, s": round(reachable, 2),
    }


def _milliseconds(what: str, seconds: list[float]) -> dict[str, float]:
    values = np.percentile(np.array(seconds) * 1e3, [50, 99, 100])
    return {
        f"{what} {name}, ms": round(float(each), 2) for name, each in zip(("p50", "p99", "most"), values, strict=True)
    }


if __name__ == "__main__":
    sys.exit(main())
