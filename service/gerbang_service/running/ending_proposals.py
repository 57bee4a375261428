"""Forgetting proposals whose time is over, put together: what is forgotten, and how it is recorded."""

from __future__ import annotations

import json
from functools import partial

from gerbang_service.audit.events import PROPOSAL_ENDED
from gerbang_service.audit.history import COMMITTED
from gerbang_service.audit.log import AuditLog
from gerbang_service.changing.ending import Ended, Ending
from gerbang_service.running.parts import Parts
from gerbang_service.threads.told import done


def ending(parts: Parts, audit: AuditLog | None, kept_days: float) -> Ending:
    """Return what forgets proposals that waited so many days in vain, each on record."""
    return Ending(
        parts.store,
        parts.writer,
        kept_days * 86400,
        check=audit.check if audit is not None else lambda: None,
        record=partial(_record, audit),
    )


async def _record(audit: AuditLog | None, ended: Ended) -> None:
    if audit is None:
        return
    proposal = ended.proposal
    change = proposal.change
    about = {"subject_id": change.subject_id} if change.subject_id else {"watchlist_id": change.watchlist_id}
    facts = {"proposal_id": str(proposal.proposal_id), "change": change.kind.value, "proposed_by": proposal.proposed_by}
    record = {"event": PROPOSAL_ENDED, COMMITTED: ended.revision, "answered": {**about, **facts}}
    written = audit.write(json.dumps(record, separators=(",", ":")).encode(), ended.revision)
    await done(written)
    written.result()
