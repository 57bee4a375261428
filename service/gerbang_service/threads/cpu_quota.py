"""How many processors this process may really use.

Thread pools are sized from this and not from the host's count: in a container limited to two processors on a host of
64, 64 threads take turns (insightface issue 2899: 50 s against 0.27 s).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def cpu_quota(root: Path = Path("/")) -> int:
    """Return the number of processors, at least 1: the affinity mask, cut to the tightest quota of the cgroups.

    `root`: where `proc` and `sys` are. A part of a processor counts as one. What can't be read sets no limit.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    quota = min(_quotas(root), default=math.inf)
    return max(1, available if math.isinf(quota) else min(available, math.ceil(quota)))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quota of each cgroup that this process is in, its own and all around it, in processors.

    Each may set one, and the tightest counts: a pod's, or that of a systemd slice around the service (cgroups(7)).
    """
    try:
        memberships = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for membership in memberships:
        _, controllers, path = membership.split(":", 2)
        if not controllers:
            # Version 2 is mounted beside version 1 where both are in use.
            for mount in ("sys/fs/cgroup", "sys/fs/cgroup/unified"):
                for folder in _and_parents(root / mount, path):
                    yield _quota_v2(folder)
        elif "cpu" in controllers.split(","):
            for folder in _and_parents(root / "sys/fs/cgroup/cpu", path):
                yield _quota_v1(folder)


def _and_parents(mount: Path, path: str) -> Iterator[Path]:
    # In a container, the path may be the host's while the mount shows the container's own cgroup: then only the mount
    # itself is there. A path that leads out of a cgroup namespace begins with "..".
    parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
    for depth in range(len(parts) + 1):
        yield mount.joinpath(*parts[:depth])


def _quota_v2(folder: Path) -> float:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


def _quota_v1(folder: Path) -> float:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        return quota / int((folder / "cpu.cfs_period_us").read_text()) if quota > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
