"""The real server at 10,000 to 1,000,000 templates: start, memory, Identify over the wire, enrolment.

`python -m benchmarks.scale --sizes 10000 100000 1000000`. Needs a few GB in the temporary folder; cleans up.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from benchmarks.engine import Engine, Variant
from benchmarks.galleries import DIMENSION, Vectors, facelike, facelike_probes
from benchmarks.machine import describe, with_one_thread, without_thread_limits
from benchmarks.measuring import Contender, latency, percentiles

from gerbang import EnrollRequest, GateClient, WatchlistClient, enroll_request
from gerbang_service.changing.watchlists import create_watchlist
from gerbang_service.domain.questions import Plan
from gerbang_service.domain.subjects import NewTemplate, Subject
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.store.port import Operation, Outcome, Transaction
from gerbang_service.store.sqlite.store import SqliteStore

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from running import KEY, operator_key

RESULTS = Path(__file__).resolve().parent / "results"
_LIST = "all"
_MODEL = "unspecified"
_GROUP = 20_000
_WIRE_SEARCHES = 1000
_ENROLMENTS = 2000
_PROBES = 1000
# What the server's log says of its start, before "in ... s".
_PHASES = {
    "pages_checked_s": "checked the pages of the database",
    "remains_looked_for_s": "looked for remains of what was deleted",
    "subjects_read_s": "read [0-9]+ subjects",
    "loaded_s": "loaded [0-9]+ templates",
}


def main() -> None:
    """Measure, print, and write benchmarks/results/scale.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--graph-wait", type=float, default=600.0, help="seconds to wait for the graph at most")
    parser.add_argument("--no-engine", action="store_true", help="leave out the engine in this process")
    wanted = parser.parse_args()
    with_one_thread()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "scale.json"
    kept = json.loads(path.read_text())["sizes"] if path.exists() else {}
    for size in wanted.sizes:
        kept[str(size)] = measure(size, wanted.graph_wait, engine=not wanted.no_engine)
        path.write_text(json.dumps({"sizes": kept, "machine": describe()}, indent=1) + "\n")
        print(json.dumps({size: kept[str(size)]}, indent=1), flush=True)


def measure(size: int, graph_wait: float, *, engine: bool) -> dict[str, Any]:
    """Measure one size."""
    templates = facelike(size)
    probes, _ = facelike_probes(templates, _PROBES, 0.5)
    fresh = facelike(_ENROLMENTS, seed=1)
    with tempfile.TemporaryDirectory(prefix="gerbang-scale-") as folder:
        data = Path(folder) / "data"
        store_s = fill(data, templates)
        if not engine:
            del templates
        result: dict[str, Any] = {"bulk_store_s": round(store_s, 1)}
        with Server(data) as server:
            result |= server.measure(probes, fresh, graph_wait)
            print(json.dumps(result), flush=True)
    if engine:
        built = Engine(templates, (512,), graph_wait)
        result["engine_graph"] = built.indexed
        searcher = built.searcher(Variant(Plan.BOTH, 512, 32, 16), 0.4)
        result["engine_both_us"] = latency(Contender("both", searcher.answer), probes)
    return result


def fill(data: Path, templates: Vectors, *, encrypted: bool = True) -> float:
    """Write a data folder of one template a subject, all on one list; return the seconds it took.

    `encrypted`: with the key that test servers are given.
    """
    started = time.perf_counter()
    store = SqliteStore(data, operator_key() if encrypted else None)
    store.bind_model(_MODEL, DIMENSION, ignore_others=False)
    _written(store.write([create_watchlist(Watchlist(_LIST))]))
    for start in range(0, len(templates), _GROUP):
        _written(store.write([_adding(start, templates[start : start + _GROUP])]))
    store.close()
    return time.perf_counter() - started


def _adding(start: int, vectors: Vectors) -> Operation[None]:
    def operation(transaction: Transaction) -> Outcome[None]:
        now = time.time_ns()
        for key, vector in enumerate(vectors, start=start + 1):
            name = f"s{key}"
            transaction.put_subject(Subject(name, (_LIST,), create_time_ns=now, update_time_ns=now))
            transaction.add_templates(name, [NewTemplate(vector, None)], _MODEL, now)
            transaction.next_revision()
        return Outcome(None)

    return operation


def _written(results: Sequence[object]) -> None:
    for each in results:
        if isinstance(each, Exception):
            raise each


class Server:
    """`gerbang serve` in a process of its own, on a free port."""

    def __init__(self, data: Path) -> None:
        options = ("--listen", "127.0.0.1:0", "--data", str(data), "--pack", "none", "--threshold", "0.4")
        self._errors = (data.parent / "stderr").open("w")
        self._started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gerbang_service.cli", "serve", *options],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**without_thread_limits(), "GERBANG_KEY": KEY},
        )

    def measure(self, probes: Vectors, fresh: Vectors, graph_wait: float) -> dict[str, Any]:
        """Return what is measured of it, in this order."""
        address = self._line("listening on ")
        listening_s = time.perf_counter() - self._started
        self._line("ready")
        result: dict[str, Any] = {"ready_s": round(time.perf_counter() - self._started, 1)}
        result["start"] = {"listening_s": round(listening_s, 1), **self._phases()}
        result["ready_processor_s"] = self._processor_s()
        result["memory_ready_mib"] = self._memory()
        with GateClient(address) as gate, WatchlistClient(address) as office:
            result["identify_while_graph_grows_us"] = identify(gate, probes)
            waited = wait_for_graph(office, graph_wait)
            result["graph"] = {"indexed": office.server_info().graph.indexed, "waited_s": round(waited, 1)}
            result["memory_later_mib"] = self._memory()
            result["identify_us"] = identify(gate, probes)
            result["enrol_stream_per_s"] = enrol(office, fresh)
        return result

    def _phases(self) -> dict[str, float]:
        """Return the seconds that parts of the start took, by the server's own log; `listening_s` has the first two."""
        said = Path(self._errors.name).read_text()
        found = {name: re.search(rf"{words} in ([0-9.]+) s", said) for name, words in _PHASES.items()}
        return {name: float(match[1]) for name, match in found.items() if match is not None}

    def _line(self, prefix: str) -> str:
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        line = self._process.stdout.readline().rstrip("\n")
        if not line.startswith(prefix):
            raise SystemExit(f"the server did not start: {line!r}")
        return line.removeprefix(prefix)

    def _memory(self) -> dict[str, int]:
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return {name: int(fields[name].split()[0]) // 1024 for name in ("VmRSS", "VmHWM")}

    def _processor_s(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return round((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(120)
        self._errors.close()
        if self._process.stdout is not None:
            self._process.stdout.close()


def identify(gate: GateClient, probes: Vectors) -> dict[str, float]:
    """Search for one probe after the other over the wire; p50 and p99, and how often the answer was a hit."""
    times, hits = [], 0
    for probe in probes[:_WIRE_SEARCHES]:
        vector = probe.tolist()
        started = time.perf_counter()
        answer = gate.identify(vector)
        times.append(time.perf_counter() - started)
        hits += answer.hit
    return {**percentiles(times), "hits": hits}


def wait_for_graph(office: WatchlistClient, most: float) -> float:
    """Wait until the graph holds every template, `most` seconds at most; return how long it took."""
    started = time.perf_counter()
    while office.server_info().graph.pending and time.perf_counter() - started < most:
        time.sleep(0.5)
    return time.perf_counter() - started


def enrol(office: WatchlistClient, fresh: Vectors) -> float:
    """Enrol new people through EnrollStream; return how many a second are durable and searchable."""

    def requests() -> Iterator[EnrollRequest]:
        for number, vector in enumerate(fresh):
            yield enroll_request(f"new{number}", [vector.tolist()], watchlists=[_LIST])

    started = time.perf_counter()
    done = sum(not answer.HasField("error") for answer in office.enroll_stream(requests(), timeout=300.0))
    return round(done / (time.perf_counter() - started), 1)


if __name__ == "__main__":
    main()
