"""What a caller can do to the audit log: neither hide anything from it, nor write into it what they like."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from access.pki import GuardedServer, Pki, SecureWire, until
from audit.logs import lines
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist
from gerbang_service.rpc import office_records as account
from rpc.wire import template

TEXT = b"John Doe, born 1970 " + b"\x01" * 100
NAN = float("nan")


class Recorded:
    """A server, and what it recorded of calls."""

    def __init__(self, server: GuardedServer) -> None:
        self.server = server

    def of(self, wire: SecureWire, rpc: str, request: Any) -> dict[str, Any]:
        """Make a call, however it ends, and return its record."""
        before = len(self._lines())
        with suppress(grpc.RpcError):
            wire.call(rpc, request)
        assert until(lambda: len(self._lines()) > before, 5)
        line = self._lines()[before]
        assert len(line) < 4000
        record: dict[str, Any] = json.loads(line, parse_constant=_refuse)
        assert record["rpc"] == rpc
        return record

    def _lines(self) -> list[bytes]:
        return [line for _, _, line in lines(Path(self.server.data) / "audit") if b'"rpc":' in line]


def _refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, shared_pki: Pki) -> Iterator[Recorded]:
    """A server of this module's own, with two lists and a subject."""
    with GuardedServer(tmp_path_factory.mktemp("recorded") / "data", shared_pki) as server:
        with SecureWire(server.address, shared_pki.credentials("admin")) as boss:
            for name in ("own", "red"):
                boss.call("CreateWatchlist", office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id=name)))
            boss.call("Enroll", pb.EnrollRequest(subject=Subject(subject_id="p-1"), samples=[template(1)]))
        yield Recorded(server)


@pytest.fixture(scope="module")
def boss(recorded: Recorded, shared_pki: Pki) -> Iterator[SecureWire]:
    """An administrator."""
    with SecureWire(recorded.server.address, shared_pki.credentials("admin")) as wire:
        yield wire


def page(text: bytes) -> office_pb.ListSubjectsRequest:
    """Return a request whose page token says something."""
    return office_pb.ListSubjectsRequest(page_token=base64.urlsafe_b64encode(text).decode())


@pytest.mark.parametrize("text", [TEXT, TEXT * 5000, b"p-1"], ids=["text", "600 kB", "an id"])
def test_of_who_is_not_let_in_nothing_is_taken_over(recorded: Recorded, shared_pki: Pki, text: bytes) -> None:
    """They could fill the disk with it, and put words into it that somebody has to read."""
    with SecureWire(recorded.server.tokens, shared_pki.credentials()) as nobody:
        record = recorded.of(nobody, "ListSubjects", page(text))
    assert record["failed"]["reason"] == "UNAUTHENTICATED"
    assert "asked" not in record


def test_of_who_may_not_only_ids_are_taken_over(recorded: Recorded, shared_pki: Pki) -> None:
    """What was tried counts, and a page token is as much of the caller's making as anything."""
    with SecureWire(recorded.server.address, shared_pki.credentials("gate")) as gate:
        denied = recorded.of(gate, "ListSubjects", page(b"p-1"))
        assert (denied["failed"]["reason"], denied["asked"]) == ("ROLE_DENIED", {"after": "p-1"})
        for text in (TEXT, TEXT * 5000):
            assert recorded.of(gate, "ListSubjects", page(text))["asked"] == {"after": "(no id)"}


def test_a_list_that_is_searched_is_on_record_behind_any_repeats(recorded: Recorded, boss: SecureWire) -> None:
    """As many as a request may have, all but the last the same."""
    record = recorded.of(boss, "Identify", pb.IdentifyRequest(probe=template(5), watchlists=["own"] * 63 + ["red"]))
    assert (record["asked"]["watchlists"], "answered" in record) == (["own", "red"], True)
    record = recorded.of(boss, "Identify", pb.IdentifyRequest(probe=template(5), watchlists=["own"] * 64 + ["red"]))
    assert (record["asked"]["watchlists"], record["failed"]["field"]) == (["own", "red"], "watchlists")


def test_a_field_that_is_changed_is_on_record_behind_any_repeats(recorded: Recorded, boss: SecureWire) -> None:
    """Who is let go by an expiry that nobody sees was let go by nobody."""
    changed = Subject(subject_id="p-1", labels={"name": "X"})
    for repeats, reason in ((3, None), (16, "FIELD_INVALID")):
        mask = FieldMask(paths=["labels"] * repeats + ["expire_time"])
        request = office_pb.UpdateSubjectRequest(subject=changed, update_mask=mask)
        record = recorded.of(boss, "UpdateSubject", request)
        assert record["asked"]["fields"] == ["labels", "expire_time"]
        assert record.get("failed", {}).get("reason") == reason


@pytest.mark.parametrize("value", [NAN, float("inf"), -float("inf")])
def test_what_is_no_number_leaves_the_log_json(recorded: Recorded, boss: SecureWire, value: float) -> None:
    """A reader that keeps to the standard must be able to read every line."""
    requests: list[tuple[str, Any]] = [
        ("Identify", pb.IdentifyRequest(probe=template(5), threshold=value)),
        ("Verify", pb.VerifyRequest(probe=template(5), subject_id="p-1", threshold=value)),
        (
            "CreateWatchlist",
            office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id="odd", threshold=value)),
        ),
    ]
    for rpc, request in requests:
        assert recorded.of(boss, rpc, request)["asked"]["threshold"] == str(value)


def test_an_account_is_short_whatever_is_asked() -> None:
    """Of thousands of fields, lists and labels."""
    ids = [f"{number:0128}" for number in range(10_000)]
    search = account.asked(pb.IdentifyRequest(watchlists=ids))
    update = account.asked(
        office_pb.UpdateSubjectRequest(
            subject=Subject(subject_id="x" * 1000, watchlists=ids, labels=dict.fromkeys(ids, "")),
            update_mask=FieldMask(paths=ids),
        )
    )
    assert len(json.dumps(search)) < 10_000
    assert len(json.dumps(update)) < 16_000
