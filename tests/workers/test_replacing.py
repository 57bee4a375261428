"""A worker that can't be replaced for now: the others serve on, and it comes back when it can."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

from click.testing import CliRunner

from audit.logs import wait_for
from disk.faults import FaultyDisk
from gerbang import GateClient, WatchlistClient
from gerbang_service.cli.root import root
from rpc.wire import template
from running import RunningServer
from workers.connections import to_each_worker, workers_of

TEMPLATES = ("--pack", "none", "--dimension", "16", "--threshold", "0.5", "--workers", "2")


def _search(address: str) -> int:
    with GateClient(address, timeout=5) as gate:
        return gate.identify(template(1)).gallery_size


def test_on_a_full_disk_the_others_serve_on(tmp_path: Path) -> None:
    """A worker that dies while the disk takes nothing is replaced on it all the same: a start writes nothing."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    disk = FaultyDisk(data)
    with RunningServer(data, *TEMPLATES, "--audit-folder", str(tmp_path / "audit"), env=disk.env) as server:
        with WatchlistClient(server.address, timeout=10) as office:
            office.enroll("p-1", [template(1)])
        disk.set(write_error=errno.ENOSPC)
        os.kill(workers_of(server.pid)[0], signal.SIGKILL)
        wait_for(lambda: len(workers_of(server.pid)) == 2, 30)
        for _ in range(40):
            assert _search(server.address) == 1
            time.sleep(0.1)
        disk.mend()
        with WatchlistClient(server.address, timeout=10) as office:
            office.enroll("p-2", [template(2)])
        assert server.stop() == 0
    assert "Traceback" not in server.stderr


def test_a_worker_that_refuses_is_no_reason_to_stop_the_others(tmp_path: Path) -> None:
    """The key was changed and its file was not: the dead worker can't be replaced until it is, and nobody notices."""
    data, old, new = tmp_path / "data", tmp_path / "old.key", tmp_path / "new.key"
    for file in (old, new):
        assert CliRunner().invoke(root, ["key", "create", str(file)]).exit_code == 0
    with RunningServer(data, *TEMPLATES, "--key-file", str(old), env={"GERBANG_KEY": ""}) as server:
        with WatchlistClient(server.address, timeout=10) as office:
            office.enroll("p-1", [template(1)])
        rotated = ["key", "rotate", "--data", str(data), "--key-file", str(old), "--new-key-file", str(new)]
        assert CliRunner().invoke(root, rotated).exit_code == 0
        os.kill(workers_of(server.pid)[0], signal.SIGKILL)
        wait_for(lambda: "can't be started (status 3); the others serve on" in server.stderr, 30)
        for _ in range(10):
            assert _search(server.address) == 1
        new.replace(old)
        for each in to_each_worker(server.address):
            each.channel.close()
        assert server.stop() == 0
