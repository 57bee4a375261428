"""Erasing who has expired, put together: what is erased, how it is recorded and counted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial

from gerbang_service.audit.events import EXPIRED_ERASED
from gerbang_service.audit.history import COMMITTED
from gerbang_service.audit.log import AuditLog
from gerbang_service.changing.expiring import Erased, Expiring
from gerbang_service.running.parts import Parts
from gerbang_service.threads.told import done


def expiring(parts: Parts, audit: AuditLog | None, kept_days: float) -> Expiring:
    """Return what erases who expired so many days ago, each on record."""
    return Expiring(
        parts.store,
        parts.writer,
        kept_days * 86400,
        check=audit.check if audit is not None else lambda: None,
        record=partial(_record, parts, audit, kept_days),
    )


async def _record(parts: Parts, audit: AuditLog | None, kept_days: float, erased: Erased) -> None:
    parts.meter.expired_erased()
    if audit is None:
        return
    expired = datetime.fromtimestamp(erased.expire_time_ns / 1e9, UTC).isoformat()
    record = {
        "event": EXPIRED_ERASED,
        COMMITTED: erased.revision,
        # Where calls have whom they are about, so that 'audit show --subject' finds it.
        "answered": {"subject_id": erased.subject_id},
        "reason": f"expired {expired}, kept for {kept_days:g} days",
    }
    written = audit.write(json.dumps(record, separators=(",", ":")).encode(), erased.revision)
    await done(written)
    written.result()
