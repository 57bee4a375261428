"""A real server in a process of its own, for tests."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from base64 import b64encode
from pathlib import Path
from typing import Any, ClassVar, Self

import grpc
from grpc_health.v1 import health_pb2_grpc

from forked import Forked
from gerbang_service.store.sealing.keys import OperatorKey, find_key

START_TIMEOUT_S = 60.0
# Test servers encrypt what they store, as real ones do, unless told --no-encryption. One key for all: a folder may be
# served again by another test server.
KEY = b64encode(bytes(range(32))).decode()


def operator_key() -> OperatorKey:
    """Return KEY, for tests that open the store of a test server themselves."""
    key = find_key(None, {"GERBANG_KEY": KEY})
    assert key is not None
    return key


def health_stub(channel: grpc.Channel) -> Any:
    """Return a stub of the standard health service, whose published types lack its methods."""
    return health_pb2_grpc.HealthStub(channel)


class StartRefused(Exception):
    """The server ended instead of serving; `returncode` and `stderr` say how."""

    def __init__(self, returncode: int, stderr: str) -> None:
        super().__init__(f"exit {returncode}: {stderr}")
        self.returncode = returncode
        self.stderr = stderr


class RunningServer:
    """`gerbang serve` on a free loopback port, ready when the constructor returns. Raises StartRefused.

    Its data is encrypted with KEY unless `env` or `options` say otherwise.
    """

    FORKED: ClassVar = True

    def __init__(self, data: Path, *options: str, wait_ready: bool = True, env: dict[str, str] | None = None) -> None:
        self.data = data
        arguments = ["serve", "--listen", "127.0.0.1:0", "--data", str(data), *options]
        self._stderr_file = data.parent / f"{data.name}.stderr"
        self.process = self._begin(arguments, {**os.environ, "GERBANG_KEY": KEY, **(env or {})})
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.address = self.expect("listening on ").removeprefix("listening on ")
        if wait_ready:
            self.expect("ready")

    def _begin(self, arguments: list[str], env: dict[str, str]) -> subprocess.Popen[str] | Forked:
        if self.FORKED:
            return Forked(arguments, env, self._stderr_file)
        command = [sys.executable, "-m", "gerbang_service.cli", *arguments]
        with self._stderr_file.open("ab") as stderr:
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=env)

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid

    @property
    def stderr(self) -> str:
        """What the server logged so far."""
        return self._stderr_file.read_text()

    def expect(self, prefix: str) -> str:
        """Return the next line, which must start with `prefix`."""
        try:
            line = self._lines.get(timeout=START_TIMEOUT_S)
        except queue.Empty:
            self.kill()
            raise
        if line is None:
            raise StartRefused(self.wait(), self.stderr)
        assert line.startswith(prefix), line
        return line

    def terminate(self) -> None:
        """Ask it to drain, without waiting."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """Ask it to drain, wait, and return its exit status."""
        self.terminate()
        return self.wait()

    def kill(self) -> None:
        """End it at once, with SIGKILL: it does nothing more, and what it has written is kept by the kernel.

        A power cut would take what was not synced, too: tests/disk is about that.
        """
        self.process.kill()
        self.wait()

    def wait(self) -> int:
        """Wait for its end and return its exit status."""
        status = self.process.wait(60)
        self._reader.join(10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
        else:
            self.wait()


class FreshServer(RunningServer):
    """A server with an interpreter of its own, as an operator's: for tests of starts and ends, and for shared ones."""

    FORKED = False
