"""A gate searches at the threshold in force or above: below it, it could have its lists told face by face."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from access.pki import GuardedServer, Pki, SecureWire
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import DIRECTION_ARRIVAL, DIRECTION_DEPARTURE, Direction, Watchlist
from rpc.wire import Failure, failure, of_status, template

# The server's is 0.5.
THRESHOLDS = {"strict": 0.75, "plain": None, "loose": 0.25}


@pytest.fixture(scope="module")
def wires(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, SecureWire]]:
    """Wires of a gate, of one that is bound, and of an administrator, at an airport with people on three lists."""
    pki = Pki(tmp_path_factory.mktemp("gate-pki") / "pki")
    pki.client("admin", "admin")
    pki.client("gate", "gate")
    pki.client("bound", "gate", ("strict", "plain"))
    with GuardedServer(tmp_path_factory.mktemp("gates") / "data", pki) as server:
        made = {name: SecureWire(server.address, pki.credentials(name)) for name in ("admin", "gate", "bound")}
        for number, (name, threshold) in enumerate(THRESHOLDS.items()):
            direction = DIRECTION_DEPARTURE if name == "loose" else DIRECTION_ARRIVAL
            made["admin"].call(
                "CreateWatchlist",
                office_pb.CreateWatchlistRequest(
                    watchlist=Watchlist(watchlist_id=name, threshold=threshold, direction=direction)
                ),
            )
            person = Subject(subject_id=f"on-{name}", watchlists=[name])
            made["admin"].call("Enroll", pb.EnrollRequest(subject=person, samples=[template(number)]))
        yield made
        for each in made.values():
            each.channel.close()


def search(
    threshold: float | None, *lists: str, direction: Any = Direction.DIRECTION_UNSPECIFIED
) -> pb.IdentifyRequest:
    """Return a search with nobody's face."""
    return pb.IdentifyRequest(
        probe=template(99), threshold=threshold, watchlists=lists, direction=direction, max_candidates=100
    )


def expect_denied(failed: Failure, limit: str) -> None:
    """Check that a search was refused, and that it was told which threshold would do."""
    assert (failed.code, failed.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_DENIED"), failed
    assert (failed.metadata["role"], failed.metadata["threshold"]) == ("gate", limit)


@pytest.mark.parametrize(
    ("wire", "request_", "limit"),
    [
        ("gate", search(-1), "0.25"),
        ("gate", search(0.24), "0.25"),
        ("gate", search(0.3, "plain"), "0.5"),
        ("gate", search(0.3, "plain", "strict"), "0.5"),
        ("gate", search(0.6, "strict"), "0.75"),
        ("gate", search(0.3, direction=DIRECTION_ARRIVAL), "0.5"),
        ("bound", search(0.3), "0.5"),
    ],
)
def test_a_gate_does_not_search_below_the_lowest_in_force(
    wires: dict[str, SecureWire], wire: str, request_: pb.IdentifyRequest, limit: str
) -> None:
    """The lowest of the lists that it searches: their own, and the server's where one has none. In every way."""
    gate = wires[wire]
    expect_denied(failure(lambda: gate.call("Identify", request_)), limit)
    expect_denied(of_status(gate.call("IdentifyStream", request_).error), limit)
    batch = gate.call("IdentifyBatch", pb.IdentifyBatchRequest(requests=[request_, search(None)]))
    expect_denied(of_status(batch.responses[0].error), limit)
    assert not batch.responses[1].HasField("error")


@pytest.mark.parametrize(
    "request_",
    [
        search(None),
        search(0.25),
        search(0.25, "loose"),
        search(0.5, "plain", "strict"),
        search(0.3, direction=DIRECTION_DEPARTURE),
        search(1),
    ],
)
def test_a_gate_searches_at_it_and_above(wires: dict[str, SecureWire], request_: pb.IdentifyRequest) -> None:
    """That finds no more than what its lists are there for."""
    assert not wires["gate"].call("Identify", request_).hit


def test_others_are_told_who_is_nearest_as_before(wires: dict[str, SecureWire]) -> None:
    """Who may list subjects anyway learns nothing by it, and an officer who looks for somebody needs it."""
    found = wires["admin"].call("Identify", search(-1)).candidates
    assert {each.subject_id for each in found} == {"on-strict", "on-plain", "on-loose"}
