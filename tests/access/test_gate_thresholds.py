"""What a gate is not told, lest its lists be told face by face.

It can raise the thresholds in force and never lower them, and does not learn how near a stranger is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from access.pki import GuardedServer, Pki, SecureWire
from audit.logs import entries, wait_for
from gerbang import Sample, Template
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import ACTION_SILENT_ALERT, Watchlist
from rpc.wire import vector

# The server's is 0.5, which holds for list c.
THRESHOLDS = {"a": 0.3, "b": 0.6, "c": None}
# Of two people on each list: how similar they are to the traveller.
SIMILARITIES = {"a": (0.35, 0.25), "b": (0.65, 0.45), "c": (0.55, 0.4)}


def similar(similarity: float, axis: int) -> Sample:
    """Return a face of this similarity to the traveller's, and unlike others'."""
    values = [0.0] * 16
    values[0], values[axis] = similarity, (1 - similarity**2) ** 0.5
    return Sample(template=Template(vector=vector(values)))


TRAVELLER = similar(1.0, 1)
# Unlike everybody else's: of somebody on a list of silent alerts.
UNNOTICED = Sample(template=Template(vector=vector([0.0] * 15 + [1.0])))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the airport's server."""
    return tmp_path_factory.mktemp("gates") / "data"


@pytest.fixture(scope="module")
def wires(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[dict[str, SecureWire]]:
    """Wires of a gate and of an administrator, at an airport with two people on each of three lists."""
    pki = Pki(tmp_path_factory.mktemp("gate-pki") / "pki")
    pki.client("admin", "admin")
    pki.client("gate", "gate")
    with GuardedServer(folder, pki) as server:
        made = {name: SecureWire(server.address, pki.credentials(name)) for name in ("admin", "gate")}
        axes = iter(range(2, 16))
        for name, threshold in THRESHOLDS.items():
            watchlist = Watchlist(watchlist_id=name, threshold=threshold)
            made["admin"].call("CreateWatchlist", office_pb.CreateWatchlistRequest(watchlist=watchlist))
            for each in SIMILARITIES[name]:
                person = Subject(subject_id=f"{name}-{each}", watchlists=[name])
                made["admin"].call("Enroll", pb.EnrollRequest(subject=person, samples=[similar(each, next(axes))]))
        quiet = Watchlist(watchlist_id="quiet", action=ACTION_SILENT_ALERT)
        made["admin"].call("CreateWatchlist", office_pb.CreateWatchlistRequest(watchlist=quiet))
        person = Subject(subject_id="quiet-1", watchlists=["quiet"])
        made["admin"].call("Enroll", pb.EnrollRequest(subject=person, samples=[UNNOTICED]))
        yield made
        for wire in made.values():
            wire.channel.close()


def search(threshold: float | None, *lists: str) -> pb.IdentifyRequest:
    return pb.IdentifyRequest(probe=TRAVELLER, threshold=threshold, watchlists=lists, max_candidates=100)


def found(answer: pb.IdentifyResponse) -> dict[str, float]:
    """Return whom an answer has, and the threshold that they passed."""
    assert not answer.HasField("error"), answer.error
    return {each.subject_id: round(each.threshold, 6) for each in answer.candidates}


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (None, {"a-0.35": 0.3, "b-0.65": 0.6, "c-0.55": 0.5}),
        (-1.0, {"a-0.35": 0.3, "b-0.65": 0.6, "c-0.55": 0.5}),
        (0.0, {"a-0.35": 0.3, "b-0.65": 0.6, "c-0.55": 0.5}),
        (0.3, {"a-0.35": 0.3, "b-0.65": 0.6, "c-0.55": 0.5}),
        (0.57, {"b-0.65": 0.6}),
        (0.9, {}),
    ],
)
def test_a_list_is_never_searched_below_its_own_threshold(
    wires: dict[str, SecureWire], threshold: float | None, expected: dict[str, float]
) -> None:
    """In each list the higher one is in force, the list's or the gate's, in every way of asking."""
    gate, request = wires["gate"], search(threshold)
    assert found(gate.call("Identify", request)) == expected
    assert found(gate.call("IdentifyStream", request)) == expected
    (batched,) = gate.call("IdentifyBatch", pb.IdentifyBatchRequest(requests=[request])).responses
    assert found(batched) == expected


@pytest.mark.parametrize(("asked", "in_force"), [(0.1, 0.5), (0.9, 0.9)])
def test_the_answer_says_what_is_in_force(wires: dict[str, SecureWire], asked: float, in_force: float) -> None:
    """`threshold` is that of lists without one of their own: the server's, unless the gate's is higher."""
    assert round(wires["gate"].call("Identify", search(asked)).threshold, 6) == in_force


def test_others_lower_the_threshold_of_every_list(wires: dict[str, SecureWire]) -> None:
    """Who may list subjects anyway learns nothing by it, and an officer who looks for somebody needs it."""
    everybody = {f"{name}-{each}": -1.0 for name, both in SIMILARITIES.items() for each in both}
    assert found(wires["admin"].call("Identify", search(-1.0, *SIMILARITIES))) == everybody


def each_way(wire: SecureWire, request: pb.IdentifyRequest) -> list[pb.IdentifyResponse]:
    """Return the answers to a request asked alone, on a stream and in a batch."""
    batch = wire.call("IdentifyBatch", pb.IdentifyBatchRequest(requests=[request]))
    return [wire.call("Identify", request), wire.call("IdentifyStream", request), *batch.responses]


def test_a_gate_does_not_learn_how_near_a_stranger_is(wires: dict[str, SecureWire], folder: Path) -> None:
    """Without a hit it is told no similarity, in whatever way it asks. It is on record, and others are told."""
    stranger = search(0.9)
    answers = each_way(wires["gate"], stranger)
    for answer in answers:
        assert answer.decision == pb.DECISION_NO_HIT
        assert answer.search_id
        assert not answer.HasField("top_similarity")
        assert not answer.HasField("fmr_at_similarity")
    for answer in each_way(wires["admin"], stranger):
        assert answer.top_similarity == pytest.approx(0.65)

    def recorded() -> dict[str, float]:
        found = [each.get("answered", {}) for each in entries(folder / "audit") if each.get("identity") == "gate"]
        return {each["search_id"]: each["top_similarity"] for each in found if "search_id" in each}

    wait_for(lambda: recorded().keys() >= {each.search_id for each in answers})
    assert [recorded()[each.search_id] for each in answers] == pytest.approx([0.65] * 3)


def test_a_gate_does_not_learn_by_one_candidate_how_near_another_is(wires: dict[str, SecureWire]) -> None:
    """Where lists have several thresholds, who is more similar than a candidate may be none."""
    mixed = [0.0, 0.617, 0.36, 0.0, 0.7] + [0.0] * 11
    request = pb.IdentifyRequest(probe=Sample(template=Template(vector=vector(mixed))))
    for answer in each_way(wires["gate"], request):
        (candidate,) = answer.candidates
        assert candidate.subject_id == "a-0.35"
        assert answer.top_similarity == candidate.similarity == pytest.approx(0.337, abs=1e-3)
    for answer in each_way(wires["admin"], request):
        assert answer.top_similarity == pytest.approx(0.532, abs=1e-3)


def test_a_gate_is_told_of_a_hit_and_of_a_silent_one(wires: dict[str, SecureWire]) -> None:
    """The similarity is that of the candidate, whom it has to tell the officers of."""
    for answer in each_way(wires["gate"], search(None)):
        assert (answer.decision, answer.hit) == (pb.DECISION_HIT, True)
        assert answer.top_similarity == answer.candidates[0].similarity == pytest.approx(0.65)
    for answer in each_way(wires["gate"], pb.IdentifyRequest(probe=UNNOTICED)):
        assert (answer.decision, answer.hit) == (pb.DECISION_SILENT_HIT, False)
        assert answer.top_similarity == answer.candidates[0].similarity == 1.0
