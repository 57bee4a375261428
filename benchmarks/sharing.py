"""What several workers cost and bring beside one: memory, the seconds of a start, and unary Identify, in turns.

    python -m benchmarks.sharing --count 100000

Memory is proportional (PSS): a page that processes share is counted once. h2load asks over many connections, which the
kernel deals to the workers by a hash: how they fell is told by the processor time of each process.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.galleries import DIMENSION, facelike
from benchmarks.h2load import Call, Shape, flood, prepared
from benchmarks.loading import decks
from benchmarks.loading.kinds import KINDS
from benchmarks.loading.serving import family, wait_for_graph
from benchmarks.machine import describe
from benchmarks.scale import fill

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from running import FreshServer

RESULT = Path(__file__).resolve().parent / "results" / "sharing.json"
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Measure both, print, and write benchmarks/results/sharing.json, by the number of templates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--count", type=int, default=100_000, help="templates")
    add("--workers", type=int, default=2)
    add("--rounds", type=int, default=7)
    add("--seconds", type=float, default=2.0, help="of each round and server")
    add("--connections", type=int, default=32)
    add("--streams", type=int, default=4, help="calls in flight on each connection")
    add("--folder", type=Path, help="keep the filled data folder here, for the next run")
    add("--json", type=Path, default=RESULT, help="where the figures go")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gerbang-sharing-") as temporary:
        source = wanted.folder or Path(temporary) / "source"
        if not source.exists():
            fill(source, facelike(wanted.count))
        result = measure(source, Path(temporary), wanted)
    result["machine"] = describe()
    print(json.dumps(result, indent=1))
    kept = json.loads(wanted.json.read_text()) if wanted.json.exists() else {}
    wanted.json.write_text(json.dumps({**kept, str(wanted.count): result}, indent=1) + "\n")
    return int(result["failed"] > 0)


def measure(source: Path, temporary: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """Start a server of one process and one of several on the same people, and let them take turns."""
    options = ("--pack", "none", "--threshold", "0.4")
    started: dict[int, float] = {}
    servers: dict[int, FreshServer] = {}
    memory: dict[int, Any] = {}
    try:
        for workers in (1, wanted.workers):
            data = Path(shutil.copytree(source, temporary / f"data-{workers}"))
            begun = time.perf_counter()
            servers[workers] = FreshServer(data, *options, "--workers", str(workers))
            started[workers] = time.perf_counter() - begun
            memory[workers] = {"when ready": memory_of(servers[workers].pid)}
        for workers, server in servers.items():
            for _ in range(4 * workers):  # whichever process is asked
                wait_for_graph(server.address)
        body = decks.identify(decks.strangers(1, DIMENSION)).asked[0].body
        calls = {workers: prepared(each.address, KINDS["identify"], body) for workers, each in servers.items()}
        rounds = [_round(servers, calls, wanted) for _ in range(wanted.rounds)]
        for workers, server in servers.items():
            memory[workers]["with graphs, after the load"] = memory_of(server.pid)
    finally:
        for server in servers.values():
            server.stop()
    ratios = [each[wanted.workers]["per_s"] / each[1]["per_s"] for each in rounds]
    return {
        "templates": wanted.count,
        "workers": wanted.workers,
        "connections": wanted.connections,
        "streams": wanted.streams,
        "ready after, s": {workers: round(each, 2) for workers, each in started.items()},
        "memory, MiB": memory,
        "rounds": rounds,
        "median, calls a second": {
            workers: round(statistics.median(each[workers]["per_s"] for each in rounds), 1) for workers in servers
        },
        "ratio": {
            "median": round(statistics.median(ratios), 3),
            "least": round(min(ratios), 3),
            "most": round(max(ratios), 3),
        },
        "failed": sum(each[workers]["failed"] for each in rounds for workers in servers),
    }


def _round(servers: dict[int, FreshServer], calls: dict[int, Call], wanted: argparse.Namespace) -> dict[int, Any]:
    found = {}
    for workers, server in servers.items():
        before = {pid: processor_s(pid) for pid in family(server.pid)}
        shape = Shape(wanted.connections, wanted.streams)
        counted = flood(server.address, calls[workers], wanted.seconds, shape)
        used = [round(processor_s(pid) - each, 2) for pid, each in before.items()]
        failed = max(counted.done - counted.answered, 0) + counted.broken
        found[workers] = {
            "per_s": round(counted.per_s, 1),
            "processor_s of each process": used,
            "processor_s of h2load": counted.processor_s,
            "failed": failed,
        }
    return found


def memory_of(pid: int) -> dict[str, Any]:
    """Return the proportional memory of a server's processes, MiB: of all, of each, and how much of it is anonymous."""
    each = [_rollup(member) for member in family(pid)]
    return {
        "all": round(sum(pss for pss, _ in each), 1),
        "anonymous": round(sum(anonymous for _, anonymous in each), 1),
        "processes": [round(pss, 1) for pss, _ in each],
    }


def _rollup(pid: int) -> tuple[float, float]:
    """Return a process's PSS, and the part of it that no file stands behind, MiB. Needs CAP_SYS_PTRACE."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    return kib["Pss"] / 1024, kib["Pss_Anon"] / 1024


def processor_s(pid: int) -> float:
    """Return the processor time that a process has used, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


if __name__ == "__main__":
    sys.exit(main())
