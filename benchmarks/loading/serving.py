"""A server of a benchmark's own, and what it uses of the machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from benchmarks.galleries import Vectors
from benchmarks.scale import fill

from gerbang import WatchlistClient

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from running import FreshServer

_GRAPH_S = 600.0


@contextmanager
def serving(
    data: Path, templates: Vectors | None, *options: str, credentials: grpc.ChannelCredentials | None = None
) -> Iterator[FreshServer]:
    """Run `gerbang serve` over a data folder, filled with templates if given, once its graph is built.

    `credentials`: of a client that may ask for it, where the options demand that.
    """
    if templates is not None:
        print(f"storing {len(templates):,} templates", flush=True)
        fill(data, templates, encrypted="--no-encryption" not in options)
    with FreshServer(data, "--pack", "none", *options) as server:
        wait_for_graph(server.address, credentials)
        yield server


def wait_for_graph(address: str, credentials: grpc.ChannelCredentials | None = None) -> None:
    """Wait until the graph holds every template: before that, building it takes a core. At most ten minutes."""
    end = time.monotonic() + _GRAPH_S
    with WatchlistClient(address, timeout=10, credentials=credentials) as office:
        while office.server_info().graph.pending and time.monotonic() < end:
            time.sleep(0.5)


def family(pid: int) -> list[int]:
    """Return a process and all its descendants that are alive."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and (fields := _stat(int(folder.name))):
            parents[int(folder.name)] = int(fields[1])
    members = [pid]
    for member in members:
        members += [child for child, parent in parents.items() if parent == member]
    return members


def resident_mib(pid: int) -> float:
    """Return the memory in use by a process and its descendants, MiB; pages that they share are counted for each."""
    kib = 0
    for member in family(pid):
        try:
            lines = Path(f"/proc/{member}/status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        kib += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return round(kib / 1024, 1)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on; empty when the process has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
