"""Erasing that can't be done at once: whoever deleted is answered, and it is done later."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gerbang import WatchlistClient
from gerbang_service.store.sqlite.connection import DATABASE_FILE
from rpc.wire import template
from running import RunningServer

TEMPLATES = ("--pack", "none", "--dimension", "16", "--threshold", "0.5")


@contextmanager
def no_file_more(pid: int) -> Iterator[None]:
    """Have a process open no file more than it has."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    opened = {int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()}
    lowest = next(number for number in range(len(opened) + 1) if number not in opened)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_a_deletion_that_cant_be_erased_at_once_is_answered_and_erased_later(data: Path) -> None:
    """Without a free file descriptor the log can't be looked at: that ends neither the call nor the server."""
    log = data / f"{DATABASE_FILE}-wal"
    with RunningServer(data, *TEMPLATES) as server:
        with WatchlistClient(server.address, timeout=10) as office:
            for number in range(3):
                office.enroll(f"p-{number}", [template(number)])
            assert len(list(office.list_subjects())) == 3
            time.sleep(1.5)  # the connection for queries is open by then
            with no_file_more(server.pid):
                office.delete_subject("p-1")
            assert len(list(office.list_subjects())) == 2
            end = time.monotonic() + 10
            while log.stat().st_size:
                assert time.monotonic() < end, "it was not erased"
                time.sleep(0.1)
            office.enroll("p-4", [template(4)])
        assert server.stop() == 0
    assert "Traceback" not in server.stderr
