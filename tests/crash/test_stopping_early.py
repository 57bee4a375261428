"""Sent away before it is ready: a server ends at once, and never says that it serves."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from crash.templates import samples_of
from gerbang import WatchlistClient
from gerbang_service.configuration.settings import Settings
from gerbang_service.running.parts import build
from gerbang_service.running.server import Server
from running import RunningServer

DIMENSION = 16
IN_THE_CLEAR = ("--pack", "none", "--dimension", str(DIMENSION), "--threshold", "0.5", "--no-encryption")


@pytest.fixture
def settings(data: Path) -> Settings:
    """Settings for a folder with 20 people."""
    with RunningServer(data, *IN_THE_CLEAR) as server, WatchlistClient(server.address) as office:
        office.create_watchlist("cegah")
        for number in range(20):
            office.enroll(f"person-{number}", samples_of(number), watchlists=["cegah"])
    return Settings(data=data, pack="none", listen="127.0.0.1:0", threshold=0.5, encryption=False)


def test_who_is_told_to_stop_while_loading_never_says_ready(settings: Settings) -> None:
    said: list[str] = []

    async def run() -> float:
        server = Server(settings)

        def say(line: str) -> None:
            said.append(line)
            server.stop()  # as SIGTERM does, before the loading begins

        began = time.monotonic()
        await server.run(say)
        return time.monotonic() - began

    assert asyncio.run(run()) < 10
    assert [line.partition(" on ")[0] for line in said] == ["listening"]


def test_a_loading_is_given_up_between_two_batches_and_leaves_no_thread(settings: Settings) -> None:
    class Enough(Exception):
        """It was asked often enough."""

    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise Enough

    async def load() -> int:
        parts = build(settings, on_failure=lambda: None)
        try:
            with pytest.raises(Enough):
                parts.load(check)
            return parts.gallery.size
        finally:
            parts.stop(loaded=False)

    before = set(threading.enumerate())
    assert asyncio.run(load()) == 0
    assert set(threading.enumerate()) <= before
