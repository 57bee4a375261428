"""Unary calls by nghttp2's h2load (Debian: nghttp2-client), which shares no code with this project or with grpc.

A cross-check of load.py, and a generator that costs a tenth of what Python does. Two servers take turns:

    python -m benchmarks.h2load --target 127.0.0.1:50051 --compare 127.0.0.1:50050
"""

from __future__ import annotations

import argparse
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.galleries import DIMENSION
from benchmarks.load import describe_target
from benchmarks.loading import decks
from benchmarks.loading.channels import open_blocking_channel
from benchmarks.loading.kinds import KINDS, Kind
from benchmarks.loading.report import write

_KINDS = ("identify", "identify-batch", "verify")
# A message of gRPC is preceded by one byte (0: not compressed) and its length, 4 bytes, big-endian.
_PREFIX_BYTES = 5
_HEADERS = ("content-type: application/grpc", "te: trailers")


@dataclass(frozen=True, slots=True)
class Call:
    """What is sent, over and over: a serialised message, and the length of the answer's."""

    kind: Kind
    body: bytes
    answer_bytes: int


@dataclass(frozen=True, slots=True)
class Flood:
    """What h2load counted. `answered`: with a message of the expected length; the others of `done` failed in gRPC.

    `sent`: requests that were begun. `broken`: HTTP failed. `processor_s`: of h2load itself.
    """

    seconds: float
    sent: int
    done: int
    answered: int
    broken: int
    processor_s: float

    @property
    def per_s(self) -> float:
        """Useful answers a second."""
        return self.answered / self.seconds


@dataclass(frozen=True, slots=True)
class Shape:
    """How h2load sends: a closed loop of connections * streams calls in flight, or `rate` calls a second at most."""

    connections: int = 4
    streams: int = 8
    rate: float | None = None
    deadline_s: float | None = None


def prepared(target: str, kind: Kind, body: bytes) -> Call:
    """Return a call whose answer's length is known, by asking once. Raises grpc.RpcError when it fails."""
    with open_blocking_channel(target) as channel:
        ask: Any = channel.unary_unary(kind.path)
        answer: bytes = ask(body, timeout=10, wait_for_ready=True)
    return Call(kind, body, len(answer))


def command(target: str, path: str, body: Path, seconds: float, shape: Shape) -> list[str]:
    """Return h2load's command line. Raises SystemExit when it is not installed.

    Without --warm-up-time: the bytes that it reports, by which answers with a message are told from errors (HTTP's
    status is 200 for both), would be those of the warm-up too.
    """
    program = shutil.which("h2load")
    if program is None:
        raise SystemExit("h2load is not installed (Debian: apt install nghttp2-client)")
    headers = list(_HEADERS)
    if shape.deadline_s is not None:
        headers.append(f"grpc-timeout: {round(shape.deadline_s * 1e6)}u")
    pace = [] if shape.rate is None else [f"--rps={shape.rate / shape.connections:.2f}"]
    return [
        program,
        f"--duration={round(seconds * 1e3)}ms",
        f"--clients={shape.connections}",
        f"--max-concurrent-streams={shape.streams}",
        "--threads=1",
        f"--data={body}",
        *pace,
        *(f"--header={each}" for each in headers),
        f"http://{target}{path}",
    ]


def flood(target: str, call: Call, seconds: float, shape: Shape) -> Flood:
    """Run h2load for so many seconds and return what it counted. Raises SystemExit when it fails."""
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        file.write(b"\0" + len(call.body).to_bytes(4, "big") + call.body)
        file.flush()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        arguments = command(target, call.kind.path, Path(file.name), seconds, shape)
        run = subprocess.run(arguments, capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if run.returncode:
        raise SystemExit(f"h2load failed: {run.stderr or run.stdout}")
    return parsed(run.stdout, seconds, call.answer_bytes, processor_s)


def parsed(output: str, seconds: float, answer_bytes: int, processor_s: float) -> Flood:
    """Return what h2load's output says. Raises SystemExit for an output that is not understood."""
    requests = re.search(
        r"^requests: \d+ total, (\d+) started, (\d+) done, \d+ succeeded, (\d+) failed, (\d+) errored",
        output,
        re.MULTILINE,
    )
    data = re.search(r"\((\d+)\) data$", output, re.MULTILINE)
    if requests is None or data is None:
        raise SystemExit(f"h2load's output is not understood:\n{output}")
    sent, done, failed, errored = map(int, requests.groups())
    answered = int(data[1]) // (answer_bytes + _PREFIX_BYTES)
    return Flood(seconds, sent, done, answered, failed + errored, round(processor_s, 2))


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, or measure one server; returns the exit status, 1 when calls failed."""
    options = _options(arguments)
    targets = [options.target, *([options.compare] if options.compare else [])]
    dimension = int(describe_target(options.target).get("dimension", DIMENSION))
    body = _body(options.kind, dimension, options.batch)
    calls = [prepared(each, KINDS[options.kind], body) for each in targets]
    shape = Shape(options.connections, options.streams, deadline_s=options.deadline)
    probes = options.batch if options.kind == "identify-batch" else 1
    rounds: list[list[Flood]] = []
    for number in range(options.rounds):
        found = [flood(target, call, options.seconds, shape) for target, call in zip(targets, calls, strict=True)]
        rounds.append(found)
        rates = " and ".join(f"{each.per_s * probes:,.1f}/s" for each in found)
        ratio = f": {found[0].per_s / found[1].per_s:.3f}" if len(found) == 2 else ""
        print(f"round {number + 1}: {rates}{ratio}", flush=True)
    medians = [statistics.median(each.per_s for each in column) * probes for column in zip(*rounds, strict=True)]
    result: dict[str, object] = {"kind": options.kind, "median_per_s": medians}
    print("median: " + " and ".join(f"{each:,.1f}/s" for each in medians))
    if len(targets) == 2:
        result["ratio"] = statistics.median(a.per_s / b.per_s for a, b in rounds)
        print(f"ratio: median {result['ratio']:.3f}")
    failed = sum(max(each.done - each.answered, 0) + each.broken for found in rounds for each in found)
    if failed:
        print(f"failed: {failed:,} calls")
    if options.json:
        write(options.json, {**result, "failed": failed, "rounds": [[asdict(each) for each in row] for row in rounds]})
    return 1 if failed else 0


def _body(kind: str, dimension: int, batch: int) -> bytes:
    probes = decks.strangers(batch, dimension)
    made = {
        "identify": decks.identify(probes),
        "identify-batch": decks.identify_batch(probes, batch),
        "verify": decks.verify(probes, None, 1),
    }
    return made[kind].asked[0].body


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--target", required=True, help="HOST:PORT of the server")
    add("--compare", help="HOST:PORT of another server, which takes turns with the first")
    add("--kind", choices=_KINDS, default="identify")
    add("--rounds", type=int, default=5)
    add("--seconds", type=float, default=5.0, help="of each round and server")
    add("--connections", type=int, default=4)
    add("--streams", type=int, default=8, help="calls in flight on each connection")
    add("--batch", type=int, default=64, help="probes of an identify-batch call")
    add("--deadline", type=float, help="of a call, seconds (default: none)")
    add("--json", type=Path, help="write the result to this file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
