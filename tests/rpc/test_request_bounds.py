"""Bytes that are no request, or one out of all proportion, are refused before they cost anything, and clearly."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from gerbang import WatchlistClient
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang_service.rpc.deserializing import MAX_FIELDS, Unreadable, deserializer
from rpc.test_fields import expect_violation
from rpc.wire import TIMEOUT_S, Wire, failure, of_error, template
from running import RunningServer

RPCS = [
    (f"/{service.full_name}/{method.name}", method.client_streaming)
    for descriptor in (pb.DESCRIPTOR, office_pb.DESCRIPTOR)
    for service in descriptor.services_by_name.values()
    for method in service.methods
]


def send(wire: Wire, path: str, data: bytes, *, stream: bool = False) -> object:
    """Send bytes as they are."""
    channel: Any = wire.channel
    if stream:
        return list(channel.stream_stream(path)(iter([data]), timeout=TIMEOUT_S))
    return channel.unary_unary(path)(data, timeout=TIMEOUT_S)


@pytest.mark.parametrize(("path", "stream"), RPCS, ids=[path.rpartition("/")[2] for path, _ in RPCS])
@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x7f", b"\x0a\x02\xff\xff"], ids=["wild", "cut", "nested"])
def test_bytes_that_are_no_message(bare: Wire, path: str, stream: bool, data: bytes) -> None:  # noqa: FBT001
    """Whatever the rpc, bytes that can't be parsed are FIELD_INVALID; or what they happen to mean is answered."""
    try:
        send(bare, path, data, stream=stream)
    except grpc.RpcError as error:
        failed = of_error(error)
    else:
        return
    assert failed.code not in {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}
    assert failed.reason
    if data == b"\xff\xff\xff":
        expect_violation(failed, "request")


def test_garbage_leaves_no_trace_in_the_log(bare: Wire, templates_server: RunningServer) -> None:
    """What a client sends of no sense does not fill the log with stack traces, and none of it is logged."""
    send_garbage = b"Siti Rahayu" + random.Random(1).randbytes(100)
    expect_violation(failure(lambda: send(bare, RPCS[0][0], send_garbage)), "request")
    assert "Traceback" not in templates_server.stderr
    assert "Siti" not in templates_server.stderr


@pytest.mark.parametrize(
    ("rpc", "unit"),
    [("Enroll", b"\x12\0"), ("IdentifyBatch", b"\x0a\0"), ("Identify", b"\x12\0"), ("Enroll", b"\x62\0")],
    ids=["samples", "probes", "watchlists", "unknown fields"],
)
def test_millions_of_empty_fields_cost_nothing(
    bare: Wire, templates_server: RunningServer, rpc: str, unit: bytes
) -> None:
    """A message of sixty megabytes that would be two gigabytes of objects is refused unparsed."""
    Path(f"/proc/{templates_server.pid}/clear_refs").write_text("5")
    started = time.monotonic()
    failed = failure(lambda: send(bare, f"/gerbang.v1.MatchingService/{rpc}", unit * 30_000_000))
    assert time.monotonic() - started < 5
    expect_violation(failed, "request")
    assert failed.metadata["limit"] == str(MAX_FIELDS)
    status = Path(f"/proc/{templates_server.pid}/status").read_text()
    peak = next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    assert peak < 700


def test_fields_of_submessages_count() -> None:
    """Labels inside the subject of an enrolment count like everything else."""
    entry = b"\x0a\x01a\x12\0"
    labels = b"".join(b"\x2a" + bytes([len(entry)]) + entry for _ in range(40_000))
    subject = pb.EnrollRequest.DESCRIPTOR.fields_by_name["subject"].number
    size = len(labels)
    head = bytes([subject << 3 | 2, size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])
    parsed = deserializer(pb.EnrollRequest.FromString)(head + labels)
    assert isinstance(parsed, Unreadable)


def test_largest_requests_are_parsed() -> None:
    """A full batch on a hundred lists each, and twenty photos of half a megabyte, are within the bounds."""
    probe = pb.IdentifyRequest(probe=template(1, 512), watchlists=[f"list-{number}" for number in range(100)])
    batch = pb.IdentifyBatchRequest(requests=[probe] * 256)
    assert deserializer(pb.IdentifyBatchRequest.FromString)(batch.SerializeToString()) == batch
    photos = pb.EnrollRequest(samples=[{"image": random.Random(2).randbytes(500_000)}] * 20)  # type: ignore[list-item]
    assert deserializer(pb.EnrollRequest.FromString)(photos.SerializeToString()) == photos


def test_office_request_of_megabytes_is_refused(bare: Wire) -> None:
    """A request that carries no sample has no reason to be large."""
    request = office_pb.ListSubjectsRequest(page_token="x" * 1_100_000)
    failed = failure(lambda: bare.watchlists.ListSubjects(request, timeout=TIMEOUT_S))
    expect_violation(failed, "request")


def test_message_over_the_limit_is_refused_by_its_size(bare: Wire) -> None:
    """Beyond max_message_mb gRPC refuses a message as it arrives, compressed or not."""
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        call: Any = bare.channel.unary_unary("/gerbang.v1.MatchingService/Enroll")
        with pytest.raises(grpc.RpcError) as caught:
            call(bytes(65 * 1024 * 1024), timeout=TIMEOUT_S, compression=compression)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_item_that_can_not_be_read_ends_its_stream(bare: Wire) -> None:
    """Items before one that is no message are answered; then the stream fails, as what follows can't be trusted."""
    good = pb.IdentifyRequest(probe=template(1), sequence=7).SerializeToString()
    answers = []
    with pytest.raises(grpc.RpcError) as caught:
        stream: Any = bare.channel.stream_stream("/gerbang.v1.MatchingService/IdentifyStream")
        for answer in stream(iter([good, good, b"\xff\xff\xff", good]), timeout=TIMEOUT_S):
            answers.append(pb.IdentifyResponse.FromString(answer).sequence)  # noqa: PERF401 - those before it count
    assert answers == [7, 7]
    expect_violation(of_error(caught.value), "request")


def test_an_answer_may_be_larger_than_a_request(data: Path) -> None:
    """What is listed is answered whole, however small the largest message that is taken."""
    labels = {f"{number:02}": "x" * 250 for number in range(32)}
    options = ("--pack", "none", "--dimension", "16", "--threshold", "0.5", "--max-message-mb", "1")
    with RunningServer(data, *options) as server, WatchlistClient(server.address, timeout=30) as office:
        for number in range(150):
            office.enroll(f"p-{number:03}", [template(number)], labels=labels)
        assert len(list(office.list_subjects(page_size=200))) == 150
