"""How many clients are connected, as the kernel knows it: gRPC's own count can't be asked from Python."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

_PROC = Path("/proc/self")
_ESTABLISHED = "01"


def open_connections(ports: Collection[int]) -> int | None:
    """Return this process's TCP connections on these ports of its own; None where there is no /proc."""
    try:
        own = _own_sockets()
        tables = [(_PROC / "net" / name).read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    except OSError:
        return None
    wanted = {f"{port:04X}" for port in ports}
    count = 0
    for line in (line for table in tables for line in table):
        # sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode (proc(5))
        fields = line.split(maxsplit=10)
        if fields[3] == _ESTABLISHED and fields[1].rpartition(":")[2] in wanted and fields[9] in own:
            count += 1
    return count


def _own_sockets() -> set[str]:
    sockets = set()
    with os.scandir(_PROC / "fd") as entries:
        for entry in entries:
            try:
                target = os.readlink(entry.path)  # noqa: PTH115 - a Path for each of thousands
            except OSError:  # closed meanwhile
                continue
            if target.startswith("socket:["):
                sockets.add(target[len("socket:[") : -1])
    return sockets
