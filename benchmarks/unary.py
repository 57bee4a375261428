"""Unary Identify against the no-op RPC, by h2load: connections x calls in flight on each, servers in turns.

    python -m benchmarks.unary --sizes 10000 100000 --shapes 1x1 4x1 8x4 8x16

The server has its default settings: audit log, encryption at rest. `--beside CHECKOUT` lets another commit's server, in
a folder of its own, take turns with them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.galleries import facelike
from benchmarks.h2load import Call, Shape, flood, prepared
from benchmarks.loading import decks
from benchmarks.loading.kinds import KINDS
from benchmarks.loading.serving import wait_for_graph
from benchmarks.machine import describe, without_thread_limits
from benchmarks.quietness import watched
from benchmarks.scale import fill

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from running import KEY

RESULTS = Path(__file__).resolve().parent / "results"
NOOP = "no-op"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write benchmarks/results/unary.json."""
    wanted = _options(arguments)
    path = RESULTS / "unary.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    for size in wanted.sizes:
        with watched() as quietness:
            table = _measure(size, wanted)
        print(f"{size:,} templates; {quietness}")
        for shape, row in table.items():
            print(f"  {shape}: " + "; ".join(_told(name, each) for name, each in row.items()), flush=True)
        kept[_key(size, wanted.options)] = {"shapes": table, "quiet": quietness.quiet, "quietness": str(quietness)}
        if not wanted.beside:
            path.write_text(json.dumps({**kept, "machine": describe()}, indent=1) + "\n")


def _key(size: int, options: str) -> str:
    return f"{size} {options}".strip()


def _told(name: str, found: dict[str, Any]) -> str:
    ratio = found.get("ratio")
    return f"{name} {found['per_s']:,.0f}/s" + ("" if ratio is None else " = {:.3f} ({:.3f}-{:.3f})".format(*ratio))


def _measure(size: int, wanted: argparse.Namespace) -> dict[str, dict[str, Any]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gerbang-unary-")))
        templates = folder / "templates"
        fill(templates, facelike(size))
        body = decks.identify(decks.strangers(1, 512)).asked[0].body
        calls: dict[str, tuple[str, Call]] = {}
        for name, command, env in _contenders(folder, templates, wanted):
            address = stack.enter_context(_served(command, env))
            if name != NOOP:
                wait_for_graph(address)
            calls[name] = (address, prepared(address, KINDS["identify"], body))
        return {each: _in_turns(calls, each, wanted) for each in wanted.shapes}


def _contenders(
    folder: Path, templates: Path, wanted: argparse.Namespace
) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    env = {**without_thread_limits(), "GERBANG_KEY": KEY}
    yield NOOP, [sys.executable, "-m", "benchmarks.noop", "--listen", "127.0.0.1:0"], env
    checkouts = {"service": Path.cwd(), **{each.name: each.resolve() for each in wanted.beside}}
    for name, checkout in checkouts.items():
        data = folder / name
        shutil.copytree(templates, data)
        serve = ["serve", "--listen", "127.0.0.1:0", "--data", str(data), "--pack", "none", "--threshold", "0.45"]
        python = [sys.executable, "-m", "gerbang_service.cli", *serve, *wanted.options.split()]
        yield name, python, {**env, "PYTHONPATH": f"{checkout}/service:{checkout}/clients"}


@contextmanager
def _served(command: list[str], env: dict[str, str]) -> Iterator[str]:
    """Run a server that says where it listens and when it is ready; yield its address."""
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=env)
    assert process.stdout is not None  # noqa: S101 - a pipe
    try:
        lines = [process.stdout.readline(), process.stdout.readline()]
        if not lines[1].startswith("ready"):
            log.seek(0)
            raise SystemExit(f"{command} did not start: {log.read()}")
        yield lines[0].removeprefix("listening on ").strip()
    finally:
        process.terminate()
        process.wait()
        log.close()


def _in_turns(calls: dict[str, tuple[str, Call]], shape: str, wanted: argparse.Namespace) -> dict[str, dict[str, Any]]:
    connections, streams = map(int, shape.split("x"))
    rates: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for number in range(wanted.rounds):
        for name in names if number % 2 else reversed(names):
            address, call = calls[name]
            rates[name].append(flood(address, call, wanted.seconds, Shape(connections, streams)).per_s)
    table: dict[str, dict[str, Any]] = {}
    for name, found in rates.items():
        table[name] = {"per_s": round(statistics.median(found), 1)}
        if name != NOOP:
            ratios = sorted(own / noop for own, noop in zip(found, rates[NOOP], strict=True))
            table[name]["ratio"] = [round(each, 3) for each in (statistics.median(ratios), ratios[0], ratios[-1])]
    return table


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    add("--shapes", nargs="+", default=["1x1", "4x1", "8x1", "8x4", "8x16"], metavar="CONNECTIONSxCALLS")
    add("--rounds", type=int, default=5)
    add("--seconds", type=float, default=2.0, help="of each server in each round")
    add("--beside", type=Path, nargs="*", default=[], help="checkouts of other commits, set up")
    add("--options", default="", help="more options of `gerbang serve`, such as '--workers 2'")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    os.environ.pop("OPENBLAS_NUM_THREADS", None)
    main()
