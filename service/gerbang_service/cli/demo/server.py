"""The demo's own server: a process of `gerbang serve` on a free port, stopped whatever happens."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from gerbang_service.store.sealing.keys import create_key_file

READY_WITHIN_S: Final = 120.0
"""A real pack takes seconds to load; a first fetch of one by InsightFace takes longer."""
STOP_WITHIN_S: Final = 20.0
_LISTENING: Final = "listening on "
_READY: Final = "ready"
_LOG_LINES: Final = 30  # of the server's stderr, shown when it fails


class ServerFailedError(Exception):
    """The server did not start or ended by itself; the message has the end of its stderr."""


class DemoServer:
    """Starts and stops `gerbang serve --data FOLDER/data`; a context manager that stops it at its end.

    Its data is encrypted, with a key of its own in the same folder.

    `arguments` are further arguments of `serve`. Not thread-safe.
    """

    def __init__(self, folder: Path, arguments: Sequence[str]) -> None:
        self.target = ""
        create_key_file(folder / "gerbang.key")
        self._log = folder / "server.log"
        self._command = [
            *(sys.executable, "-m", "gerbang_service.cli", "serve"),
            *("--listen", "127.0.0.1:0", "--data", str(folder / "data"), "--key-file", str(folder / "gerbang.key")),
            *arguments,
        ]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> float:
        """Start the server, wait until it is ready, and return the seconds that this took.

        Raises ServerFailedError when it ends or is not ready in time. `target` is its address then.
        """
        began = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=_environment(),
            )
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        try:
            self._wait_until_ready(self._process.stdout, began + READY_WITHIN_S)
        except BaseException:
            self.stop()
            raise
        return time.monotonic() - began

    def stop(self) -> int | None:
        """Ask the server to end (SIGTERM), insist if it does not; return its exit code, None if it was not running."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.terminate()
        try:
            return process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL
        finally:
            process.kill()  # does nothing to one that has ended; also on Ctrl-C while waiting
            process.wait()

    @property
    def log_tail(self) -> str:
        """The end of what the server wrote to stderr."""
        if not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:])

    def _wait_until_ready(self, stdout: IO[str], deadline: float) -> None:
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=_forward, args=(stdout, lines), daemon=True).start()
        while True:
            try:
                line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise ServerFailedError(f"the server was not ready within {READY_WITHIN_S:.0f} s") from None
            if line is None:
                code = self._process.wait() if self._process else None
                raise ServerFailedError(f"the server ended with code {code} before it was ready")
            if line.startswith(_LISTENING):
                self.target = line.removeprefix(_LISTENING).strip()
            if line.strip() == _READY:
                return


def _forward(stdout: IO[str], lines: queue.SimpleQueue[str | None]) -> None:
    """Hand on what the server prints, for as long as it runs: a full pipe would stop it."""
    with stdout:
        for line in stdout:
            lines.put(line)
    lines.put(None)


def _environment() -> dict[str, str]:
    """Return this process's environment without settings meant for another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GERBANG_")}
