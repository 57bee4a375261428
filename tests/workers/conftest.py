"""One server of two workers, and a connection to each, for the tests that stop neither."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gerbang.v1.watchlist_pb2 import Watchlist
from gerbang.v1.watchlist_service_pb2 import CreateWatchlistRequest
from running import RunningServer
from workers.connections import OPTIONS, Connection, to_each_worker


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The server, with a list `w`."""
    with RunningServer(tmp_path_factory.mktemp("workers") / "data", *OPTIONS) as running:
        one = Connection(running.address)
        one.office.CreateWatchlist(CreateWatchlistRequest(watchlist=Watchlist(watchlist_id="w")))
        one.channel.close()
        yield running


@pytest.fixture(scope="session")
def both(server: RunningServer) -> Iterator[list[Connection]]:
    """A connection to each worker."""
    connections = to_each_worker(server.address)
    yield connections
    for each in connections:
        each.channel.close()
