"""What a real server records of each call: everything that matters, and nothing of a face or a label."""

from __future__ import annotations

import base64
import json
import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest

from audit.call_cases import CASES, NOBODY, SECRET, TITLE
from audit.logs import entries, verify
from crash.templates import TEMPLATES, samples_of, template
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.sample_pb2 import Sample, Template
from gerbang.v1.subject_pb2 import Subject
from gerbang_service.access.identity import RPCS, Role
from rpc.wire import Wire
from running import RunningServer


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], list[str], Path]:
    """All cases asked of a server: their records, the ids that the client was told, and the log's folder."""
    data = tmp_path_factory.mktemp("records") / "data"
    ids = []
    with RunningServer(data, *TEMPLATES) as running, Wire(running.address) as wire:
        for case in CASES:
            service = wire.matching if hasattr(wire.matching, case.rpc) else wire.watchlists
            call = getattr(service, case.rpc)
            told: Any
            try:
                _, told = call.with_call(case.request, timeout=30)
            except grpc.RpcError as error:
                told = error
            trailing: dict[str, Any] = dict(told.trailing_metadata())
            ids.append(trailing["gerbang-request-id"])
    found = [each for each in entries(data / "audit") if "rpc" in each]
    return found, ids, data / "audit"


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: f"{number}-{CASES[number].rpc}")
def test_each_rpc_leaves_its_record(calls: tuple[list[dict[str, Any]], list[str], Path], number: int) -> None:
    """A record says who asked what from where, what was answered or why not, and under which id the client knows it."""
    found, ids, _ = calls
    record, case = found[number], CASES[number]
    assert (record["rpc"], record["request_id"]) == (case.rpc, ids[number])
    assert (record["identity"], record["role"]) == ("local", "admin")
    assert record["peer"].startswith(("ipv4:127.0.0.1:", "ipv6:"))
    assert record["ms"] > 0
    assert record["asked"] == case.asked
    if case.rpc == "Identify":
        assert uuid.UUID(record["answered"].pop("search_id"))
    if case.answered is not None:
        assert record["answered"] == case.answered
    assert record.get("failed") == case.failed
    assert record.get("committed") == case.committed


def test_every_rpc_is_a_case() -> None:
    """No rpc is left out, but for those that follow in tests of their own."""
    streams = {"EnrollStream", "IdentifyStream", "IdentifyBatch"}
    assert {case.rpc for case in CASES} | streams == set(RPCS[Role.ADMIN])


def test_no_face_no_label_no_title_is_in_the_log(calls: tuple[list[dict[str, Any]], list[str], Path]) -> None:
    """No bytes of a vector or an image, no label's value, no title: neither as they are nor in hex or base64."""
    _, _, folder = calls
    log = b"".join(each.read_bytes() for each in folder.iterdir())
    for secret in (SECRET, "Siti", "Rahayu", TITLE):
        assert secret.encode() not in log
    for sample in [*samples_of(1), template(999), NOBODY]:
        content = sample.template.vector or sample.image
        for start in range(len(content) - 8):
            window = content[start : start + 9]
            assert window not in log
            assert window.hex().encode() not in log
            assert base64.b64encode(window) not in log
    for value in template(10).template.vector[:4], template(999).template.vector[:4]:
        assert value.hex().encode() not in log


def test_each_item_of_a_stream_and_of_a_batch_has_a_record(tmp_path: Path) -> None:
    """Items are recorded one by one, good and bad, under their stream's id; a batch's requests with their places."""
    bad = pb.IdentifyRequest(probe=Sample(template=Template(vector=b"123")), sequence=2)
    good = pb.IdentifyRequest(probe=template(10), sequence=1)
    with RunningServer(tmp_path / "data", *TEMPLATES) as running, Wire(running.address) as wire:
        people = [
            pb.EnrollRequest(subject=Subject(subject_id="p-1"), samples=samples_of(1)),
            pb.EnrollRequest(subject=Subject(subject_id="p-1"), samples=samples_of(1)),
            pb.EnrollRequest(subject=Subject(subject_id="p-2"), samples=samples_of(2)),
        ]
        assert len(list(wire.matching.EnrollStream(iter(people), timeout=30))) == 3
        assert len(list(wire.matching.IdentifyStream(iter([good, bad]), timeout=30))) == 2
        assert (
            len(wire.matching.IdentifyBatch(pb.IdentifyBatchRequest(requests=[good, bad]), timeout=30).responses) == 2
        )
    found = [each for each in entries(tmp_path / "data" / "audit") if "rpc" in each]
    enrolled = [each for each in found if each["rpc"] == "EnrollStream"]
    assert sorted(each.get("committed", 0) for each in enrolled) == [0, 1, 2]
    assert [each["failed"]["reason"] for each in enrolled if "failed" in each] == ["SUBJECT_EXISTS"]
    assert len({each["request_id"] for each in enrolled}) == 1
    for rpc, place in ("IdentifyStream", "item"), ("IdentifyBatch", "in_batch"):
        items = [each for each in found if each["rpc"] == rpc]
        assert len(items) == 2
        assert len({each["request_id"] for each in items}) == 1
        (failed,) = [each for each in items if "failed" in each]
        assert failed["failed"]["reason"] == "TEMPLATE_INVALID"
        assert (failed["asked"]["item"], failed.get("in_batch", 1)) == (2, 1)
        (answered,) = [each for each in items if "answered" in each]
        assert answered["answered"]["gallery_size"] == 6
        assert place in {**answered, **answered["asked"]}


def test_the_life_of_the_server_is_recorded(tmp_path: Path) -> None:
    """A start, with what matters of the configuration, and a stop; then the next start. All of it one sound chain."""
    for _ in range(2):
        with RunningServer(tmp_path / "data", *TEMPLATES) as running:
            address = running.address
    log = entries(tmp_path / "data" / "audit")
    assert [each["event"] for each in log] == ["file", "start", "stop", "start", "stop"]
    start = log[3]
    expected = {"listen": address, "threshold": 0.5, "plan": "both", "encryption": True, "tls": False}
    assert start == start | expected
    assert json.dumps(start).count("key") == 0
    assert verify(tmp_path / "data" / "audit", None).sound


def test_no_log_when_none_is_wanted(tmp_path: Path) -> None:
    """With --no-audit-log nothing is recorded."""
    with RunningServer(tmp_path / "data", *TEMPLATES, "--no-audit-log") as running, Wire(running.address) as wire:
        wire.watchlists.GetServerInfo(office_pb.GetServerInfoRequest(), timeout=30)
    assert not (tmp_path / "data" / "audit").exists()
