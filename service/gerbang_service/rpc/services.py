"""Which services there are, and how they are added to a gRPC server."""

from __future__ import annotations

from collections.abc import Callable

from grpc import aio

from gerbang.v1 import matching_service_pb2, watchlist_service_pb2
from gerbang.v1.matching_service_pb2_grpc import add_MatchingServiceServicer_to_server
from gerbang.v1.watchlist_service_pb2_grpc import add_WatchlistServiceServicer_to_server
from gerbang_service.rpc.guard import Guard
from gerbang_service.rpc.health import Health
from gerbang_service.rpc.matching_servicer import MatchingServicer
from gerbang_service.rpc.registration import add_by_name, add_open_to_all
from gerbang_service.rpc.watchlist_servicer import WatchlistServicer

NAMES = (
    matching_service_pb2.DESCRIPTOR.services_by_name["MatchingService"].full_name,
    watchlist_service_pb2.DESCRIPTOR.services_by_name["WatchlistService"].full_name,
)


def adding(
    guard: Guard, matching: MatchingServicer, watchlists: WatchlistServicer, health: Health, *, reflection: bool
) -> Callable[[aio.Server], None]:
    """Return what adds the services to a server: behind the guard, but health and, if wanted, reflection."""

    def add(server: aio.Server) -> None:
        add_by_name(server, add_MatchingServiceServicer_to_server, guard.of(matching))
        add_by_name(server, add_WatchlistServiceServicer_to_server, guard.of(watchlists))
        add_open_to_all(server, health, NAMES if reflection else ())

    return add
