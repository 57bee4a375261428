"""Which exception a failure raises: that of its reason, else that of its status code, with the details."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

import gerbang
from clients.error_classes import subclasses
from clients.scripted_server import PROBE, Context, ScriptedServer, info
from gerbang import errors
from gerbang._error_mapping import BY_CODE, BY_REASON
from gerbang_service.domain import errors as domain

REASONS = sorted({kind.reason for kind in subclasses(domain.GerbangError)} - {"", domain.StartupError.reason})


def test_every_reason_has_its_class() -> None:
    """The client knows all reasons of the server and no others, each by its own class."""
    assert sorted(BY_REASON) == REASONS
    assert len(set(BY_REASON.values())) == len(BY_REASON)


@pytest.mark.parametrize("reason", REASONS)
def test_reason_decides(server: ScriptedServer, gate: gerbang.GateClient, reason: str) -> None:
    """A rich status of the server raises the class of its reason, whatever its code."""
    server.fail_richly(grpc.StatusCode.FAILED_PRECONDITION, info(reason))
    with pytest.raises(errors.GerbangError) as caught:
        gate.identify(PROBE)
    assert type(caught.value) is BY_REASON[reason]
    assert caught.value.reason == reason


def test_details_arrive(server: ScriptedServer, gate: gerbang.GateClient) -> None:
    """Code, message, metadata, violations and the time to wait arrive."""
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="probe", description="neither image nor template")
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000))
    server.fail_richly(
        grpc.StatusCode.INVALID_ARGUMENT,
        info("FIELD_INVALID", field="probe"),
        bad,
        retry,
        message="wajah: 顔",
    )
    with pytest.raises(errors.FieldInvalid) as caught:
        gate.identify(PROBE)
    error = caught.value
    assert (error.code, error.message) == (grpc.StatusCode.INVALID_ARGUMENT, "wajah: 顔")
    assert error.metadata == {"field": "probe"}
    assert error.violations == (errors.FieldViolation("probe", "neither image nor template"),)
    assert error.retry_after_s == 1.5
    assert str(error) == "FIELD_INVALID: wajah: 顔"


@pytest.mark.parametrize(("code", "kind"), BY_CODE.items(), ids=lambda value: getattr(value, "name", ""))
def test_unknown_reason(
    server: ScriptedServer, gate: gerbang.GateClient, code: grpc.StatusCode, kind: type[errors.GerbangError]
) -> None:
    """A reason of a newer server raises the class of the status code, and keeps the reason."""
    server.fail_richly(code, info("BRAND_NEW"))
    with pytest.raises(errors.GerbangError) as caught:
        gate.identify(PROBE)
    assert type(caught.value) is kind
    assert caught.value.reason == "BRAND_NEW"


def test_refused_by_the_core(server: ScriptedServer, gate: gerbang.GateClient) -> None:
    """A call that a flooded server's gRPC core breaks off is Busy: the client itself cancelled nothing."""
    server.fail(grpc.StatusCode.CANCELLED)
    with pytest.raises(errors.Busy, match="refused the call"):
        gate.identify(PROBE)


async def test_refused_by_the_core_async(server: ScriptedServer) -> None:
    """So it is for asyncio, where grpc.aio reports the refusal as if the caller's own task had been cancelled."""
    server.fail(grpc.StatusCode.CANCELLED, grpc.StatusCode.CANCELLED)
    async with gerbang.AsyncGateClient(server.target) as gate:
        with pytest.raises(errors.Busy, match="refused the call"):
            await gate.identify(PROBE)
        with pytest.raises(errors.Busy, match="refused the call"):
            [answer async for answer in gate.identify_stream([PROBE])]


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code not in BY_CODE and code is not grpc.StatusCode.OK]
)
def test_other_codes(server: ScriptedServer, gate: gerbang.GateClient, code: grpc.StatusCode) -> None:
    """Codes that stand for a defect are a ServerFault."""
    server.fail(code)
    with pytest.raises(errors.ServerFault, match="as told"):
        gate.identify(PROBE)


def test_reason_of_another_domain(server: ScriptedServer, gate: gerbang.GateClient) -> None:
    """A proxy's reason that happens to be spelled like one of ours is not taken for it."""
    server.fail_richly(grpc.StatusCode.NOT_FOUND, error_details_pb2.ErrorInfo(domain="proxy.example", reason="NO_FACE"))
    with pytest.raises(errors.NotFound):
        gate.identify(PROBE)


def test_garbled_details(server: ScriptedServer, gate: gerbang.GateClient) -> None:
    """Details that can't be read leave the class of the status code."""

    def answer(_request: Any, context: Context) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff\xff"),))
        context.abort(grpc.StatusCode.NOT_FOUND, "as told")

    server.answer = answer
    with pytest.raises(errors.NotFound, match="as told"):
        gate.identify(PROBE)


@pytest.mark.parametrize(
    ("reason", "parent"),
    [
        ("UNAUTHENTICATED", errors.AccessDenied),
        ("ROLE_DENIED", errors.AccessDenied),
        ("WATCHLIST_DENIED", errors.AccessDenied),
        ("AUDIT_UNAVAILABLE", errors.Unavailable),
    ],
)
def test_refusals_of_access_are_access_denied(reason: str, parent: type[errors.GerbangError]) -> None:
    """Who catches AccessDenied catches all of them; what can't be recorded may be tried again."""
    assert issubclass(BY_REASON[reason], parent)


@pytest.mark.parametrize(
    ("detail", "request_id"),
    [
        (info("ROLE_DENIED", request_id="a1"), "a1"),
        (info("INTERNAL", error_id="b2"), "b2"),
        (info("ROLE_DENIED"), ""),
    ],
    ids=["of a refusal", "of a defect", "none"],
)
def test_the_id_of_the_call_arrives(
    server: ScriptedServer, gate: gerbang.GateClient, detail: error_details_pb2.ErrorInfo, request_id: str
) -> None:
    """The id under which the server logged the call is `request_id`, whatever the failure."""
    server.fail_richly(grpc.StatusCode.PERMISSION_DENIED, detail)
    with pytest.raises(errors.GerbangError) as caught:
        gate.identify(PROBE)
    assert caught.value.request_id == request_id


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_the_id_of_the_call_arrives_without_details(server: ScriptedServer, *, asynchronous: bool) -> None:
    """A failure that has no details, such as one of a stream, has it in the trailing metadata."""

    def answer(_request: Any, context: Context) -> None:
        context.set_trailing_metadata((("gerbang-request-id", "c3"),))
        context.abort(grpc.StatusCode.NOT_FOUND, "as told")

    server.answer = answer
    with pytest.raises(errors.NotFound) as caught:
        if asynchronous:
            async with gerbang.AsyncGateClient(server.target) as gate:
                await gate.identify(PROBE)
        else:
            with gerbang.GateClient(server.target) as plain:
                plain.identify(PROBE)
    assert caught.value.request_id == "c3"


async def test_async_maps_alike(server: ScriptedServer) -> None:
    """The asyncio client raises the same class with the same details."""
    server.fail_richly(grpc.StatusCode.FAILED_PRECONDITION, info("FACE_BLURRED", sharpness="3.1"))
    async with gerbang.AsyncGateClient(server.target) as gate:
        with pytest.raises(errors.FaceBlurred) as caught:
            await gate.identify(PROBE)
    assert caught.value.metadata == {"sharpness": "3.1"}
