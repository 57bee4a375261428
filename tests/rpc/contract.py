"""The error table as the contract has it, and failures compared with it."""

from __future__ import annotations

import grpc

from gerbang import Sample
from gerbang.v1 import matching_service_pb2 as pb
from rpc.wire import TIMEOUT_S, Failure, Wire, failure

Code = grpc.StatusCode

# Section 5 of the design, row by row, and what it says in words: "later it may" is UNAVAILABLE.
CONTRACT = {
    "IMAGE_UNREADABLE": Code.INVALID_ARGUMENT,
    "IMAGE_TOO_LARGE": Code.INVALID_ARGUMENT,
    "NO_FACE": Code.FAILED_PRECONDITION,
    "SEVERAL_FACES": Code.FAILED_PRECONDITION,
    "FACE_TOO_SMALL": Code.FAILED_PRECONDITION,
    "FACE_BLURRED": Code.FAILED_PRECONDITION,
    "FACE_TURNED": Code.FAILED_PRECONDITION,
    "FACE_TOO_DARK": Code.FAILED_PRECONDITION,
    "FACE_TOO_BRIGHT": Code.FAILED_PRECONDITION,
    "TEMPLATE_INVALID": Code.INVALID_ARGUMENT,
    "MODEL_MISMATCH": Code.FAILED_PRECONDITION,
    "NO_FACE_PACK": Code.FAILED_PRECONDITION,
    "DATA_DAMAGED": Code.DATA_LOSS,
    "SUBJECT_NOT_FOUND": Code.NOT_FOUND,
    "TEMPLATE_NOT_FOUND": Code.NOT_FOUND,
    "WATCHLIST_NOT_FOUND": Code.NOT_FOUND,
    "SUBJECT_EXISTS": Code.ALREADY_EXISTS,
    "WATCHLIST_EXISTS": Code.ALREADY_EXISTS,
    "WATCHLIST_NOT_EMPTY": Code.FAILED_PRECONDITION,
    "REVISION_CONFLICT": Code.ABORTED,
    "SECOND_PERSON_NEEDED": Code.FAILED_PRECONDITION,
    "TOO_MANY_PROPOSALS": Code.FAILED_PRECONDITION,
    "PROPOSAL_NOT_FOUND": Code.NOT_FOUND,
    "SUBJECT_HAS_NO_TEMPLATE": Code.FAILED_PRECONDITION,
    "SAMPLES_DIFFER": Code.FAILED_PRECONDITION,
    "FIELD_INVALID": Code.INVALID_ARGUMENT,
    "REVISION_NOT_REACHED": Code.UNAVAILABLE,
    "OVERLOADED": Code.RESOURCE_EXHAUSTED,
    "DEADLINE_TOO_SHORT": Code.DEADLINE_EXCEEDED,
    "NOT_READY": Code.UNAVAILABLE,
    "SHUTTING_DOWN": Code.UNAVAILABLE,
    "STORE_UNAVAILABLE": Code.UNAVAILABLE,
    "AUDIT_UNAVAILABLE": Code.UNAVAILABLE,
    "UNAUTHENTICATED": Code.UNAUTHENTICATED,
    "ROLE_DENIED": Code.PERMISSION_DENIED,
    "WATCHLIST_DENIED": Code.PERMISSION_DENIED,
    "SAME_PERSON": Code.PERMISSION_DENIED,
}


def expect(failed: Failure, reason: str, **metadata: str) -> None:
    """Check a failure against the contract and its metadata."""
    assert (failed.code, failed.reason, failed.domain) == (CONTRACT[reason], reason, "gerbang"), failed
    assert failed.message, failed
    assert dict(failed.metadata) | metadata == failed.metadata, failed


def identify_failure(wire: Wire, probe: Sample) -> Failure:
    return failure(lambda: wire.matching.Identify(pb.IdentifyRequest(probe=probe), timeout=TIMEOUT_S))
