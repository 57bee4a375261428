"""The wires to the shared servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gerbang import EnrollRequest, Sample
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist
from pictures import photo
from rpc.wire import TIMEOUT_S, Wire
from running import RunningServer


@pytest.fixture(scope="session")
def wire(server: RunningServer) -> Iterator[Wire]:
    """The server with the stand-in pack, with one list and one person on it that must not change."""
    with Wire(server.address) as opened:
        opened.watchlists.CreateWatchlist(office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id="table")))
        opened.matching.Enroll(
            EnrollRequest(
                subject=Subject(subject_id="table-1", watchlists=["table"]), samples=[Sample(image=photo(900))]
            ),
            timeout=TIMEOUT_S,
        )
        yield opened


@pytest.fixture(scope="session")
def bare(templates_server: RunningServer) -> Iterator[Wire]:
    """The server without a face pack."""
    with Wire(templates_server.address) as opened:
        yield opened
