"""The machine: processors, memory, files, and the clock that certificates and expiry times are judged by."""

from __future__ import annotations

import ctypes
import math
import resource
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gerbang_service.cli.doctor.finding import Finding
from gerbang_service.cli.output import counted
from gerbang_service.configuration.settings import Settings
from gerbang_service.store.sqlite.connection import DATABASE_FILE
from gerbang_service.threads.cpu_quota import cpu_quota

_MACHINE, _MEMORY, _CLOCK = "machine", "memory", "clock"
# Of a template beyond its vector: sketch, owner and numbers (750 bytes of 2,800 at 512 dimensions, measured), which
# workers share as they do the vector, and its place in the graph (660), which they do not, see the README; of a process
# before anybody is enrolled.
_BESIDE_VECTOR, _IN_GRAPH = 750, 660
_PROCESS = 400 * 2**20
# What is free beyond the gallery serves calls, images and the file cache.
_COMFORTABLE = 0.7
_FILES = 1024
# No clock of a machine that this program was installed on shows an earlier time.
_EARLIEST = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
_LOOKED_FOR_S = 0.2
_APART_S = 0.05
_UNSYNCHRONISED = 0x0040


def check_machine(settings: Settings, templates: int, dimension: int) -> Iterator[Finding]:
    """Yield whether processors, memory and files suffice for so many templates of a dimension."""
    yield Finding.ok(
        _MACHINE, f"{counted(cpu_quota(), 'processor')} by affinity and quota, {counted(settings.workers, 'worker')}"
    )
    yield from _memory(settings.workers, templates, dimension)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        yield Finding.warning(_MACHINE, f"{soft} files may be open", f"raise it to {_FILES}: ulimit -n, LimitNOFILE=")


def _memory(workers: int, templates: int, dimension: int) -> Iterator[Finding]:
    needed = templates * (4 * dimension + _BESIDE_VECTOR) + workers * (_PROCESS + templates * _IN_GRAPH)
    limit = memory_limit()
    if math.isinf(limit):
        yield Finding.warning(_MEMORY, "how much there is can't be read", "compare it with the README yourself")
        return
    text = f"about {needed / 2**30:.1f} GB for {templates:,} templates, of {limit / 2**30:.1f} GB that may be used"
    if needed > limit:
        yield Finding.fail(_MEMORY, text, "it would be killed while loading: more memory, or fewer workers")
    elif needed > _COMFORTABLE * limit:
        yield Finding.warning(_MEMORY, text, "more memory, or fewer workers")
    else:
        yield Finding.ok(_MEMORY, text)


def memory_limit(root: Path = Path("/")) -> float:
    """Return the bytes that this process may use: the machine's, or the tightest limit of its cgroups; inf: unknown."""
    limits = [math.inf]
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        limits += [1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemTotal:")]
        memberships = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, ValueError):
        return min(limits)
    for membership in memberships:
        _, controllers, path = membership.split(":", 2)
        if not controllers:
            mount, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            mount, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        folder = mount / path.strip("/")
        # In a container the path may be the host's while the mount shows the container's own cgroup.
        limits += [_limit_in(each / name) for each in (folder, *folder.parents) if each.is_relative_to(mount)]
    return min(limits)


def _limit_in(file: Path) -> float:
    try:
        return float(int(file.read_text()))
    except (OSError, ValueError):  # "max", or not there
        return math.inf


def check_clock(settings: Settings) -> Iterator[Finding]:
    """Yield whether the clock can be right."""
    now = time.time()
    shown = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    advice = "set the clock, and let chrony or systemd-timesyncd keep it"
    database = settings.data / DATABASE_FILE
    if now < _EARLIEST:
        yield Finding.fail(_CLOCK, f"{shown} is before this program was written", advice)
    elif _written(database) > now + 60:
        yield Finding.fail(_CLOCK, f"the database was written later than {shown}: the clock went back", advice)
    else:
        yield Finding.ok(_CLOCK, shown)
    wall, monotonic = time.time(), time.monotonic()
    time.sleep(_LOOKED_FOR_S)
    apart = abs((time.time() - wall) - (time.monotonic() - monotonic))
    if apart > _APART_S:
        yield Finding.warning(_CLOCK, f"it was set by {apart:.2f} s just now", "find out who sets it, and slew it")
    synchronised = is_synchronised()
    if synchronised is not None:
        yield (
            Finding.ok(_CLOCK, "the kernel says it is synchronised")
            if synchronised
            else Finding.warning(_CLOCK, "the kernel says that nothing synchronises it", advice)
        )


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:  # not there, or not to be reached, which is said elsewhere
        return -math.inf


def is_synchronised() -> bool | None:
    """Return whether the kernel's clock is kept by NTP or the like (adjtimex(2)); None where that can't be asked."""
    # struct timex on 64 bit, in longs: modes, offset, frequency, two errors, then the status; 26 in all.
    buffer = (ctypes.c_long * 64)()
    try:
        if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(buffer)) < 0:
            return None
    except (AttributeError, OSError):
        return None
    return not int(buffer[5]) & _UNSYNCHRONISED
