"""One enrolled person, and a gate to find them at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gerbang import GateClient, WatchlistClient
from hostile.person import LIST, PERSON, SUBJECT
from pictures import photo
from running import RunningServer


@pytest.fixture(scope="session", autouse=True)
def _enrolled(server: RunningServer) -> None:
    """One person on a list of these tests'."""
    with WatchlistClient(server.address) as office:
        office.create_watchlist(LIST)
        office.enroll(SUBJECT, [photo(PERSON, 5)], watchlists=[LIST])


@pytest.fixture(scope="session")
def gate(server: RunningServer) -> Iterator[GateClient]:
    """A gate at the shared server, for all tests of hostile images."""
    with GateClient(server.address, timeout=60) as client:
        yield client
