"""Changes that wait for a second person: a list may ask for two to take somebody off it, or to weaken it otherwise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

from gerbang_service.domain.weakening import Weakened


class Kind(Enum):
    """What a proposal would change."""

    UPDATE_SUBJECT = "update_subject"
    DELETE_SUBJECT = "delete_subject"
    DELETE_TEMPLATE = "delete_template"
    REPLACE_SUBJECT = "replace_subject"
    UPDATE_WATCHLIST = "update_watchlist"
    DELETE_WATCHLIST = "delete_watchlist"


@dataclass(frozen=True, slots=True)
class ProposedChange:
    """What is wanted. One of `subject_id` and `watchlist_id` is set: whom it is about.

    `values`: JSON, what `changing/wanted.py` makes of the change; it may hold labels and vectors.
    """

    kind: Kind
    subject_id: str = ""
    watchlist_id: str = ""
    values: str = "{}"

    @property
    def named_lists(self) -> tuple[str, ...]:
        """The lists that it names: for a subject to be on, or to leave, or the one that it changes."""
        values = json.loads(self.values)
        named = (name for part in ("watchlists", "add", "remove") for name in values.get(part, ()))
        return (*named, *([self.watchlist_id] if self.watchlist_id else []))


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that waits, until `expire_time_ns`. `proposal_id`: 0 before it is stored. Times: ns since the epoch.

    `weakened`: the lists that it would weaken, and how; `revision`: of its subject or list when it was made;
    `proposed_by`, `role`: the identity. `request_id`, `digest`: of the call, as in AnsweredRequest; "" for none.
    """

    change: ProposedChange
    weakened: Weakened
    revision: int
    proposed_by: str
    role: str
    propose_time_ns: int
    expire_time_ns: int
    note: str = ""
    request_id: str = ""
    digest: bytes = b""
    proposal_id: int = 0

    @property
    def watchlists(self) -> tuple[str, ...]:
        """The lists that it would weaken, by id."""
        return tuple(sorted({name for name, _ in self.weakened}))

    def ended_by(self, moment_ns: int) -> bool:
        """Tell whether its time is over at a moment, ns since the epoch."""
        return self.expire_time_ns <= moment_ns

    def is_same_as(self, other: Proposal) -> bool:
        """Tell whether one identity wants the same, made from the same state."""
        mine, others = ((each.change, each.revision, each.proposed_by, each.role) for each in (self, other))
        return mine == others
