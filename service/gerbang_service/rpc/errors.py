"""The one table from what went wrong to what the client is told."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from datetime import timedelta

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from gerbang_service.domain import errors
from gerbang_service.telemetry.trail import trail

log = logging.getLogger(__name__)

DOMAIN = "gerbang"
_C = grpc.StatusCode

STATUS: Mapping[type[errors.GerbangError], grpc.StatusCode] = {
    errors.FieldInvalid: _C.INVALID_ARGUMENT,
    errors.TemplateInvalid: _C.INVALID_ARGUMENT,
    errors.ImageUnreadable: _C.INVALID_ARGUMENT,
    errors.ImageTooLarge: _C.INVALID_ARGUMENT,
    errors.NoFace: _C.FAILED_PRECONDITION,
    errors.SeveralFaces: _C.FAILED_PRECONDITION,
    errors.FaceTooSmall: _C.FAILED_PRECONDITION,
    errors.FaceBlurred: _C.FAILED_PRECONDITION,
    errors.FaceTurned: _C.FAILED_PRECONDITION,
    errors.FaceTooDark: _C.FAILED_PRECONDITION,
    errors.FaceTooBright: _C.FAILED_PRECONDITION,
    errors.SubjectNotFound: _C.NOT_FOUND,
    errors.TemplateNotFound: _C.NOT_FOUND,
    errors.WatchlistNotFound: _C.NOT_FOUND,
    errors.SubjectExists: _C.ALREADY_EXISTS,
    errors.WatchlistExists: _C.ALREADY_EXISTS,
    errors.WatchlistNotEmpty: _C.FAILED_PRECONDITION,
    # As AIP-154 has it: read it again, and decide anew.
    errors.RevisionConflict: _C.ABORTED,
    errors.SubjectHasNoTemplate: _C.FAILED_PRECONDITION,
    errors.SamplesDiffer: _C.FAILED_PRECONDITION,
    errors.ModelMismatch: _C.FAILED_PRECONDITION,
    errors.NoFacePack: _C.FAILED_PRECONDITION,
    errors.SecondPersonNeeded: _C.FAILED_PRECONDITION,
    errors.ProposalNotFound: _C.NOT_FOUND,
    errors.TooManyProposals: _C.FAILED_PRECONDITION,
    errors.DataDamaged: _C.DATA_LOSS,
    errors.Unauthenticated: _C.UNAUTHENTICATED,
    errors.RoleDenied: _C.PERMISSION_DENIED,
    errors.WatchlistDenied: _C.PERMISSION_DENIED,
    errors.SamePerson: _C.PERMISSION_DENIED,
    errors.RevisionNotReached: _C.UNAVAILABLE,
    errors.Overloaded: _C.RESOURCE_EXHAUSTED,
    errors.DeadlineTooShort: _C.DEADLINE_EXCEEDED,
    errors.NotReady: _C.UNAVAILABLE,
    errors.ShuttingDown: _C.UNAVAILABLE,
    errors.StoreUnavailable: _C.UNAVAILABLE,
    errors.AuditUnavailable: _C.UNAVAILABLE,
}


def to_status(error: Exception, request_id: str = "") -> status_pb2.Status:
    """Return the google.rpc.Status of an exception. `request_id`: of the call, under which the server logs it.

    One that is not expected becomes INTERNAL with that id, which is in the log, and none of its text.
    """
    if not isinstance(error, errors.GerbangError) or type(error) not in STATUS:
        return _internal(error, request_id)
    status = status_pb2.Status(code=STATUS[type(error)].value[0], message=str(error))
    metadata = {**error.metadata, **({"request_id": request_id} if request_id else {})}
    _attach(status, error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata))
    if isinstance(error, errors.FieldInvalid):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.metadata["field"], description=error.description
        )
        _attach(status, error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, errors.Overloaded):
        delay = duration_pb2.Duration()
        delay.FromTimedelta(timedelta(seconds=error.retry_after_s))
        _attach(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def _internal(error: Exception, request_id: str) -> status_pb2.Status:
    error_id = request_id or uuid.uuid4().hex
    log.error("internal error %s: %s", error_id, trail(error))
    status = status_pb2.Status(
        code=_C.INTERNAL.value[0], message=f"internal error {error_id}; the server's log has more"
    )
    _attach(
        status,
        error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"error_id": error_id}),
    )
    return status


def _attach(
    status: status_pb2.Status,
    detail: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo,
) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)
