"""From what gRPC reports to the exceptions of `gerbang.errors`: by reason, else by status code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from gerbang import errors

if TYPE_CHECKING:
    from gerbang.v1.matching_service_pb2 import EnrollResponse, IdentifyResponse

DOMAIN = "gerbang"
REQUEST_ID_KEY = "gerbang-request-id"

BY_REASON: dict[str, type[errors.GerbangError]] = {
    "FIELD_INVALID": errors.FieldInvalid,
    "TEMPLATE_INVALID": errors.TemplateInvalid,
    "IMAGE_UNREADABLE": errors.ImageUnreadable,
    "IMAGE_TOO_LARGE": errors.ImageTooLarge,
    "NO_FACE": errors.NoFace,
    "SEVERAL_FACES": errors.SeveralFaces,
    "FACE_TOO_SMALL": errors.FaceTooSmall,
    "FACE_BLURRED": errors.FaceBlurred,
    "FACE_TURNED": errors.FaceTurned,
    "FACE_TOO_DARK": errors.FaceTooDark,
    "FACE_TOO_BRIGHT": errors.FaceTooBright,
    "SUBJECT_NOT_FOUND": errors.SubjectNotFound,
    "TEMPLATE_NOT_FOUND": errors.TemplateNotFound,
    "WATCHLIST_NOT_FOUND": errors.WatchlistNotFound,
    "PROPOSAL_NOT_FOUND": errors.ProposalNotFound,
    "SUBJECT_EXISTS": errors.SubjectExists,
    "WATCHLIST_EXISTS": errors.WatchlistExists,
    "WATCHLIST_NOT_EMPTY": errors.WatchlistNotEmpty,
    "REVISION_CONFLICT": errors.RevisionConflict,
    "SECOND_PERSON_NEEDED": errors.SecondPersonNeeded,
    "TOO_MANY_PROPOSALS": errors.TooManyProposals,
    "SUBJECT_HAS_NO_TEMPLATE": errors.SubjectHasNoTemplate,
    "SAMPLES_DIFFER": errors.SamplesDiffer,
    "MODEL_MISMATCH": errors.ModelMismatch,
    "NO_FACE_PACK": errors.NoFacePack,
    "DATA_DAMAGED": errors.DataDamaged,
    "REVISION_NOT_REACHED": errors.RevisionNotReached,
    "NOT_READY": errors.NotReady,
    "OVERLOADED": errors.Busy,
    "DEADLINE_TOO_SHORT": errors.DeadlineExceeded,
    "SHUTTING_DOWN": errors.ShuttingDown,
    "STORE_UNAVAILABLE": errors.StoreUnavailable,
    "AUDIT_UNAVAILABLE": errors.AuditUnavailable,
    "UNAUTHENTICATED": errors.Unauthenticated,
    "ROLE_DENIED": errors.RoleDenied,
    "WATCHLIST_DENIED": errors.WatchlistDenied,
    "SAME_PERSON": errors.SamePerson,
}

# For reasons of a newer server and for failures below it. What is not listed is a ServerFault.
BY_CODE: dict[grpc.StatusCode, type[errors.GerbangError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidRequest,
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: errors.StateConflict,
    grpc.StatusCode.ABORTED: errors.StateConflict,
    grpc.StatusCode.UNAUTHENTICATED: errors.AccessDenied,
    grpc.StatusCode.PERMISSION_DENIED: errors.AccessDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.Busy,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    grpc.StatusCode.CANCELLED: errors.Cancelled,
}

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


_NOT_SENT = "Internal error from Core"
_CLOSED_HERE = ("Channel closed", "Locally cancelled", "Cancelled on creation")


def error_of(response: IdentifyResponse | EnrollResponse) -> errors.GerbangError | None:
    """Return why an item of a stream or batch was not answered, or None when it was.

    The same exceptions as those that a single call raises; returned, not raised, so that one bad photo does
    not end a stream. Thread-safe.
    """
    return from_status(response.error) if response.HasField("error") else None


def from_status(status: status_pb2.Status) -> errors.GerbangError:
    """Make the exception of a rich status."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    retry_after_s: float | None = None
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(bad.DESCRIPTOR):
            detail.Unpack(bad)
        elif detail.Is(retry.DESCRIPTOR):
            detail.Unpack(retry)
            retry_after_s = max(0.0, retry.retry_delay.seconds + retry.retry_delay.nanos * 1e-9)
    kind = BY_REASON.get(info.reason) if info.domain == DOMAIN else None
    return (kind or BY_CODE.get(code, errors.ServerFault))(
        status.message or code.name,
        code=code,
        reason=info.reason,
        metadata=dict(info.metadata),
        violations=[errors.FieldViolation(v.field, v.description) for v in bad.field_violations],
        retry_after_s=retry_after_s,
        # A failure that nobody foresaw has it under another name.
        request_id=info.metadata.get("request_id", "") or info.metadata.get("error_id", ""),
    )


def from_rpc_error(error: grpc.RpcError, target: str) -> errors.GerbangError:
    """Make the exception of a failed call. `target`: the server's address, for messages about the transport.

    Takes the errors of `grpc` and of `grpc.aio` alike: both answer code(), details() and trailing_metadata().
    """
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # grpc raises errors that are calls
    except (ValueError, DecodeError):  # details that contradict the status, or that are garbage
        status = None
    if status is not None and status.details:
        return from_status(status)
    made = _from_bare(error.code(), error.details() or "", target)
    made.request_id = _request_id(error)
    return made


def _from_bare(code: grpc.StatusCode, details: str, target: str) -> errors.GerbangError:
    """Make the exception of a failure that tells no more than gRPC's status."""
    # gRPC's own refusal, at either end, has the code of an overloaded server; its text is all that tells them
    # apart.
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return errors.MessageTooLarge(f"{target}: {details}", code=code)
    # A server's gRPC core sheds a flood so, before Gerbang sees the calls; closing the client has texts of its own.
    if code is grpc.StatusCode.CANCELLED and not any(text in details for text in _CLOSED_HERE):
        return refused(target)
    # grpc.aio says so when a call was refused before its request was sent; it is never a server's answer.
    if code is grpc.StatusCode.INTERNAL and details == _NOT_SENT:
        return refused(target)
    if code is grpc.StatusCode.UNAVAILABLE:
        return errors.Unavailable(f"{target} is unavailable: {details}", code=code)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineExceeded(f"{target} did not answer in time", code=code)
    return BY_CODE.get(code, errors.ServerFault)(f"{target}: {details or code.name}", code=code)


def _request_id(error: grpc.RpcError) -> str:
    trailing: Any = error.trailing_metadata() or ()  # pairs: named ones of grpc, plain ones of grpc.aio
    return next((str(value) for key, value in trailing if key == REQUEST_ID_KEY), "")


def closed_during_call(target: str) -> errors.Cancelled:
    """Make the exception of a call whose client was closed while it waited."""
    return errors.Cancelled(f"{target}: the client was closed during the call", code=grpc.StatusCode.CANCELLED)


def refused(target: str) -> errors.Busy:
    """Make the exception of a call that the server's gRPC core refused, or broke off: a change may have been made."""
    return errors.Busy(f"{target} refused the call, or broke it off", code=grpc.StatusCode.CANCELLED)
