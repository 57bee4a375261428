"""One guarded server with a client of every role, shared by the tests that change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from access.airport import SUBJECTS, Airport, enrolment
from access.pki import ROLES, GuardedServer, Pki
from gerbang import WatchlistClient
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.watchlist_pb2 import Watchlist
from rpc.wire import template


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """An authority of one test's own, with an administrator's certificate."""
    made = Pki(tmp_path / "pki")
    made.client("admin", "admin")
    return made


@pytest.fixture(scope="session")
def shared_pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """An authority with a certificate for every role, and two that were issued and are of no use."""
    made = Pki(tmp_path_factory.mktemp("pki") / "pki")
    for role in ROLES:
        made.client(role, role)
        made.client(f"expired-{role}", role, days=-1)
    made.client("stranger")
    return made


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory, shared_pki: Pki) -> Iterator[GuardedServer]:
    """The server, with a list `w` and a subject `known` on it."""
    with GuardedServer(
        tmp_path_factory.mktemp("guarded") / "data", shared_pki, "--time-zone", "Asia/Jakarta"
    ) as running:
        with WatchlistClient(running.address, credentials=shared_pki.credentials("admin")) as office:
            office.create_watchlist("w")
            office.enroll("known", [template(1)], watchlists=["w"])
        yield running


@pytest.fixture(scope="module")
def airport(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airport]:
    """The airport, with its lists and subjects."""
    pki = Pki(tmp_path_factory.mktemp("bound-pki") / "pki")
    pki.client("admin", "admin")
    for role in ROLES:
        pki.client(f"airline-{role}", role, ("airline", "lounge"))
    with GuardedServer(tmp_path_factory.mktemp("bound") / "data", pki) as server:
        made = Airport(server, pki)
        for name in ("airline", "lounge", "red"):
            made.boss.call("CreateWatchlist", office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id=name)))
        for name, (seed, lists) in SUBJECTS.items():
            made.boss.call("Enroll", enrolment(name, seed, lists))
        yield made
        made.close()
