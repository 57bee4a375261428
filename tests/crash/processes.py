"""Killing a server with all its processes, at once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from forked import Forked


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def kill_family(process: subprocess.Popen[str] | subprocess.Popen[bytes] | Forked) -> None:
    """Kill a server with its workers, and wait for their end."""
    if process.poll() is None:
        process.send_signal(signal.SIGSTOP)  # it must not start another meanwhile
    # Again, until there are none: one of them may be forking another.
    while family := [each for each in children(process.pid) if _alive(each)]:
        for pid in family:
            kill(pid)
        for pid in family:
            while _alive(pid):
                time.sleep(0.005)
    kill(process.pid)
    process.wait()


def kill(pid: int) -> None:
    """Kill one process, if it is there still."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
