"""`gerbang` in processes of their own, forked from one that has imported it: a start would be mostly imports.

From the command line on all is as ever: arguments, environment, output, signals, exit status. The library that makes
disks fail (disk/faults.py) is loaded beforehand, and does nothing where the environment does not ask for it. What else
must be different before the interpreter is there needs a process from scratch.
"""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn
from unittest import mock

from disk.faults import library


@cache
def _context() -> ForkServerContext:
    """Begin the process from which all others are forked. It has one thread, as has to be."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["preloaded"])
    # One thread, as `gerbang serve` has it before it imports. Where tests are, multiprocessing does not tell it.
    paths = (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))
    environment = {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    if (disks := library()) is not None:
        environment["LD_PRELOAD"] = str(disks)
    with mock.patch.dict(os.environ, environment):
        forkserver.ensure_running()
    return context


class Forked:
    """A process of `gerbang`, with what is used here of `subprocess.Popen`. Output goes to a file, or through a pipe.

    Ends with the test process at the latest.
    """

    def __init__(self, arguments: list[str], env: Mapping[str, str], stderr: Path, stdout: Path | None = None) -> None:
        context = _context()
        reading, writing = context.Pipe(duplex=False)
        with reading, writing:
            self._process = context.Process(
                target=_run, args=(arguments, dict(env), stderr, stdout or writing), daemon=True
            )
            self._process.start()
            self.stdout = os.fdopen(os.dup(reading.fileno()))
        assert self._process.pid is not None
        self.pid = self._process.pid
        self.returncode: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Return its exit status, negative for a signal; None while it runs."""
        with self._lock:
            if self.returncode is None:
                self.returncode = self._process.exitcode
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its exit status. Raises TimeoutExpired."""
        wait([self._process.sentinel], timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired("gerbang", timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        if self.poll() is None:
            self._process.kill()


def run_gerbang(*arguments: str | Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command of `gerbang` to its end, at most a minute."""
    words = [*map(str, arguments)]
    with TemporaryDirectory() as folder:
        stdout, stderr = Path(folder, "stdout"), Path(folder, "stderr")
        process = Forked(words, env, stderr, stdout)
        with process.stdout:
            status = process.wait(60)
        return subprocess.CompletedProcess(words, status, stdout.read_text(), stderr.read_text())


def _run(arguments: list[str], env: dict[str, str], stderr: Path, stdout: Path | Connection) -> None:
    for output, number in ((stdout, 1), (stderr, 2)):
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if isinstance(output, Path) else output
        os.dup2(file if isinstance(file, int) else file.fileno(), number)
        os.close(file) if isinstance(file, int) else file.close()
    os.environ.clear()
    os.environ.update(env)
    assert "preloaded" in sys.modules, "what it was to have imported can't be"  # multiprocessing says nothing of that
    sys.argv = ["gerbang", *arguments]
    from gerbang_service.cli import main

    try:
        main()
    except SystemExit as end:
        _end(int(end.code or 0))


def _end(status: int) -> NoReturn:
    """End as the interpreter does: threads are waited for, handlers called, what nobody holds is closed.

    But modules are not taken apart one by one, which would be most of what a short command costs. Processes from
    scratch do that. multiprocessing would cut all of it off.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)
