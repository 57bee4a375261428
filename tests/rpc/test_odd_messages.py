"""Whatever message comes to whatever rpc, it is answered or refused with a reason; the server never breaks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.plan_pb2 import PLAN_BOTH, PLAN_EXACT, PLAN_SWEEP, PLAN_UNSPECIFIED
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist
from rpc.contract import CONTRACT
from rpc.odd_messages import DIMENSION, message
from rpc.wire import TIMEOUT_S, Wire, of_error, of_status, template
from running import RunningServer

EFFORT = int(os.environ.get("GERBANG_TEST_EFFORT", "1"))
METHODS = [
    method
    for descriptor in (pb.DESCRIPTOR, office_pb.DESCRIPTOR)
    for service in descriptor.services_by_name.values()
    for method in service.methods
]
UNARY = [each for each in METHODS if not each.client_streaming]
STREAMS = [each for each in METHODS if each.client_streaming]
# What a message by itself can lead to; nothing of it is the server's fault.
REASONS = set(CONTRACT) - {
    "NOT_READY",
    "SHUTTING_DOWN",
    "STORE_UNAVAILABLE",
    "AUDIT_UNAVAILABLE",
    "OVERLOADED",
    "DEADLINE_TOO_SHORT",
    "UNAUTHENTICATED",
    "ROLE_DENIED",
    "WATCHLIST_DENIED",
}
everything = settings(
    max_examples=80 * EFFORT,
    deadline=None,
    database=None,
    derandomize=EFFORT == 1,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """A server of its own, as these calls delete what they find, with somebody who must stay."""
    data = tmp_path_factory.mktemp("odd") / "data"
    options = ("--pack", "none", "--dimension", str(DIMENSION), "--threshold", "0.5")
    with RunningServer(data, *options) as running, Wire(running.address) as wire:
        stays = Watchlist(watchlist_id="stays")
        wire.watchlists.CreateWatchlist(office_pb.CreateWatchlistRequest(watchlist=stays), timeout=TIMEOUT_S)
        subject = Subject(subject_id="stays", watchlists=["stays"])
        wire.matching.Enroll(pb.EnrollRequest(subject=subject, samples=[template(900)]), timeout=TIMEOUT_S)
        yield wire
        probe = pb.IdentifyRequest(probe=template(900), watchlists=["stays"])
        found = wire.matching.Identify(probe, timeout=TIMEOUT_S)
        assert [each.subject_id for each in found.candidates] == ["stays"]
        assert "Traceback" not in running.stderr
        assert "internal error" not in running.stderr


def check_refusal(error: grpc.RpcError) -> None:
    """Check that a failure is one that a message by itself can lead to."""
    failed = of_error(error)
    assert failed.reason in REASONS, failed
    assert failed.code is CONTRACT[failed.reason], failed
    assert failed.message, failed


def check_answer(request: Any, answer: Any) -> None:
    """Check what every answer must keep to, whatever was asked."""
    if isinstance(answer, pb.IdentifyResponse) and not answer.HasField("error"):
        found = [(-each.similarity, each.subject_id) for each in answer.candidates]
        assert found == sorted(found)
        assert len(found) <= (request.max_candidates or 5)
        assert answer.hit == bool(found)
        assert all(each.similarity >= each.threshold for each in answer.candidates)
        assert answer.revision >= request.min_revision
    if isinstance(answer, pb.EnrollResponse) and not answer.HasField("error"):
        assert len(answer.sample_results) == len(request.samples)
        assert any(each.template_id for each in answer.sample_results)
        assert 1 <= len(answer.subject.subject_id) <= 128
    if isinstance(answer, pb.VerifyResponse):
        assert answer.match == (answer.similarity >= answer.threshold)
        assert -1 <= answer.similarity <= 1
    if isinstance(answer, pb.IdentifyBatchResponse):
        assert len(answer.responses) == len(request.requests)
    if isinstance(answer, office_pb.ListSubjectsResponse):
        assert len(answer.subjects) <= (request.page_size or 100)


def timeout_for(request: Message) -> float:
    """A revision that is never reached is waited for until shortly before the deadline."""
    return 2.0 if "min_revision" in str(request) else TIMEOUT_S


@pytest.mark.parametrize("method", UNARY, ids=lambda method: method.name)
def test_any_message_is_answered_or_refused_with_a_reason(odd: Wire, method: Any) -> None:
    """No message makes an rpc INTERNAL, UNKNOWN or without a reason, and answers keep to what was asked."""
    call: Any = odd.channel.unary_unary(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )

    @everything
    @given(message(method.input_type))
    def try_one(request: Message) -> None:
        try:
            answer = call(request, timeout=timeout_for(request))
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and timeout_for(request) < TIMEOUT_S:
                return
            check_refusal(error)
        else:
            check_answer(request, answer)

    try_one()


@pytest.mark.parametrize("method", STREAMS, ids=lambda method: method.name)
def test_any_items_of_a_stream_are_answered_one_by_one(odd: Wire, method: Any) -> None:
    """Each item of a stream has its own answer or error with a reason, and the stream ends well."""
    call: Any = odd.channel.stream_stream(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )

    @everything
    @given(st.lists(message(method.input_type), max_size=6))
    def try_some(requests: list[Any]) -> None:
        for each in requests:
            each.ClearField("min_revision" if method.name == "IdentifyStream" else "request_id")
        answers: list[Any] = list(call(iter(requests), timeout=TIMEOUT_S))
        assert len(answers) == len(requests)
        for answer in answers:
            if answer.HasField("error"):
                assert of_status(answer.error).reason in REASONS

    try_some()


def test_threshold_of_minus_zero_is_zero(odd: Wire) -> None:
    """What SQLite stores as another value than was sealed: the list can be read, and changed, as any other."""
    made = Watchlist(watchlist_id="minus-zero", threshold=-0.0)
    odd.watchlists.CreateWatchlist(office_pb.CreateWatchlistRequest(watchlist=made), timeout=TIMEOUT_S)
    changed = office_pb.UpdateWatchlistRequest(watchlist=Watchlist(watchlist_id="minus-zero", title="0"))
    changed.update_mask.paths.append("title")
    assert odd.watchlists.UpdateWatchlist(changed, timeout=TIMEOUT_S).watchlist.threshold == 0.0


@everything
@given(
    number=st.integers(0, 50),
    most=st.integers(0, 100),
    threshold=st.one_of(st.none(), st.floats(-1, 1, width=32)),
    plan=st.sampled_from([PLAN_UNSPECIFIED, PLAN_BOTH, PLAN_SWEEP, PLAN_EXACT]),
    direction=st.integers(0, 3),
    lists=st.lists(st.just("stays"), max_size=3),
)
def test_every_valid_search_succeeds(odd: Wire, **asked: Any) -> None:
    """Whatever is within the contract's ranges is answered."""
    request = pb.IdentifyRequest(
        probe=template(asked["number"]),
        max_candidates=asked["most"],
        threshold=asked["threshold"],
        plan=asked["plan"],
        direction=asked["direction"],
        watchlists=asked["lists"],
    )
    check_answer(request, odd.matching.Identify(request, timeout=TIMEOUT_S))
