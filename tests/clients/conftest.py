"""A server that answers as told, and a gate of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import gerbang
from clients.scripted_server import ScriptedServer


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """Return a server for one test."""
    server = ScriptedServer()
    yield server
    server.stop()


@pytest.fixture
def gate(server: ScriptedServer) -> Iterator[gerbang.GateClient]:
    """Return a gate of that server."""
    with gerbang.GateClient(server.target) as gate:
        yield gate
