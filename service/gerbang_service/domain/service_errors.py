"""What the server can't do now, and later may; see errors.py for the tree of all errors."""

from __future__ import annotations

from gerbang_service.domain.failure import GerbangError


class ServiceError(GerbangError):
    """The server can't now; later it may."""


class RevisionNotReached(ServiceError):
    """The gallery did not reach `min_revision` in time."""

    reason = "REVISION_NOT_REACHED"


class Overloaded(ServiceError):
    """Too much work is waiting already; `retry_after_s` is when to try again, seconds."""

    reason = "OVERLOADED"

    def __init__(self, message: str, *, retry_after_s: float, **metadata: object) -> None:
        super().__init__(message, **metadata)
        self.retry_after_s = retry_after_s


class DeadlineTooShort(ServiceError):
    """The call's deadline passed before its work was started or finished."""

    reason = "DEADLINE_TOO_SHORT"


class NotReady(ServiceError):
    """The server has started and still loads the gallery; it answers nothing rather than from half of it."""

    reason = "NOT_READY"


class ShuttingDown(ServiceError):
    """The server drains and takes no new work; ask another, or this one again in a moment."""

    reason = "SHUTTING_DOWN"


class StoreUnavailable(ServiceError):
    """The database can't be written or read (disk full, damaged); the write was not acknowledged."""

    reason = "STORE_UNAVAILABLE"


class AuditUnavailable(ServiceError):
    """What was done can't be recorded, so it is not done, or not answered."""

    reason = "AUDIT_UNAVAILABLE"
