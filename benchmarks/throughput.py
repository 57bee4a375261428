"""How close the service comes to the no-op RPC: every kind of call, at 10,000 and 100,000 templates, in turns.

    python -m benchmarks.throughput --sizes 10000 100000

Runs `benchmarks.load` and `benchmarks.h2load` against servers of its own, and writes benchmarks/results/throughput.json
and the plot of latency over throughput.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.galleries import facelike
from benchmarks.loading.command import measured
from benchmarks.loading.serving import serving
from benchmarks.machine import describe, without_thread_limits

RESULTS = Path(__file__).resolve().parent / "results"
# What is asked, and with how many calls in flight; the no-op is asked a unary Identify, whatever the kind.
_KINDS = {
    "identify": 32,
    "verify": 32,
    "identify-stream": 64,
    "identify-batch": 4,
    "enrol": 16,
    "enrol-stream": 128,
}


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--kinds", nargs="+", default=list(_KINDS), choices=list(_KINDS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each server in each round")
    wanted = parser.parse_args()
    path = RESULTS / "throughput.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    noop = _start_noop()
    try:
        for size in wanted.sizes:
            kept[str(size)] = {**kept.get(str(size), {}), **_measure(size, noop.address, wanted)}
            path.write_text(json.dumps({**kept, "machine": describe()}, indent=1) + "\n")
    finally:
        noop.process.terminate()
        noop.process.wait()
    print(json.dumps(kept, indent=1))


class _NoOp:
    """The no-op server's process, and where it listens."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process = process
        self.address = address


def _start_noop() -> _NoOp:
    command = [sys.executable, "-m", "benchmarks.noop", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=without_thread_limits())
    assert process.stdout is not None  # noqa: S101 - a pipe
    address = process.stdout.readline().removeprefix("listening on ").strip()
    return _NoOp(process, address)


def _measure(size: int, noop: str, wanted: argparse.Namespace) -> dict[str, Any]:
    result: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory(prefix="gerbang-throughput-") as folder,
        serving(Path(folder) / "data", facelike(size), "--threshold", "0.45") as server,
    ):
        rounds = ("--rounds", str(wanted.rounds), "--seconds", f"{wanted.seconds:g}")
        against = ("--target", server.address, "--compare", noop, *rounds)
        for kind in wanted.kinds:
            if kind in {"identify", "verify"}:
                result[f"{kind}, h2load"] = _h2load(*against, "--kind", kind)
            load = _load(*against, "--kind", kind, "--compare-kind", "identify", "--clients", str(_KINDS[kind]),
                         "--gallery", str(size), "--mated", "0.02")  # fmt: skip
            result[kind] = _summary(load)
            print(size, kind, json.dumps(result[kind]), flush=True)
        if "identify" in wanted.kinds:
            peak = result["identify"]["per_s"]
            rates = ",".join(f"{peak * share:.0f}" for share in (0.1, 0.25, 0.5, 0.75, 0.9))
            plot = RESULTS / f"latency-{size}.svg"
            swept = _load("--target", server.address, "--sweep", rates, "--seconds", "10", "--gallery", str(size),
                          "--plot", str(plot))  # fmt: skip
            result["sweep"] = [{"per_s": each["per_s"], **each["latency_ms"]} for each in swept["result"].values()]
            alone = _load("--target", server.address, "--clients", "1", "--seconds", "5", "--gallery", str(size))
            result["one call at a time, ms"] = alone["result"]["latency_ms"]
        for kind in ("enrol", "enrol-stream"):
            if kind in wanted.kinds:
                alone = _load("--target", server.address, "--kind", kind, "--clients", "1", "--seconds", "5")
                result[f"{kind}, one at a time"] = alone["result"]["per_s"]
    return result


def _summary(load: dict[str, Any]) -> dict[str, Any]:
    own, other = load["result"]["totals"]
    return {
        "per_s": own["per_s"],
        "no-op per_s": other["per_s"],
        "ratio": {name: round(value, 3) for name, value in load["result"]["ratio"].items()},
        "latency_ms": own["latency_ms"],
        "errors": own["errors"],
        "mates checked": own["mates_checked"],
        "mates missed": own["mates_missed"],
    }


def _load(*options: str) -> dict[str, Any]:
    return measured("benchmarks.load", *options)


def _h2load(*options: str) -> dict[str, Any]:
    return measured("benchmarks.h2load", *options)


if __name__ == "__main__":
    main()
