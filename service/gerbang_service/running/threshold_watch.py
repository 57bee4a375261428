"""Thresholds that follow a target move as lists grow: in small steps, each on record."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from gerbang_service.domain.threshold_texts import describe, warning
from gerbang_service.domain.thresholds import Rule, Threshold
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.gallery.scopes import InForce

log = logging.getLogger(__name__)

SERVER = ""
"""In the place of a list's id: all lists without a threshold or target of their own together."""


class ThresholdWatch:
    """Sees thresholds move, and says so. `look` belongs to one thread at a time, `now` to any."""

    def __init__(self, gallery: Gallery, rule: Rule) -> None:
        self._gallery = gallery
        self._rule = rule
        self._seen: InForce | None = None
        self.note: Callable[[dict[str, Any]], object] = lambda _event: None
        """Puts on record what happened to the server; to be set by who has the audit log."""

    def now(self) -> Mapping[str, Threshold]:
        """Return the server's threshold, and that of each list with one, or a target, of its own, by the list's id."""
        return _by_name(self._gallery.in_force(self._rule))

    def look(self) -> None:
        """Say what has moved since the last look: in the log, and on record. To be called after each change."""
        found = self._gallery.in_force(self._rule)
        if found is self._seen:
            return
        first = self._seen is None
        earlier, self._seen = _by_name(self._seen) if self._seen else {}, found
        for name, new in _by_name(found).items():
            old = earlier.get(name)
            moved = new.target_fpir is not None and (old is None or old.cosine != new.cosine)
            if moved or first:
                before = "" if old is None else f" moved from {old.cosine:.4f}"
                log.info("threshold of %s%s: %s", _whose(name), before, describe(new))
            if moved:
                self.note(_event(name, old, new))
            said = warning(new)
            # Once, and not at every step.
            if said is not None and (old is None or warning(old) is None):
                log.warning("threshold of %s: %s", _whose(name), said)


def _by_name(found: InForce) -> Mapping[str, Threshold]:
    return {SERVER: found.server, **found.by_list}


def _event(name: str, old: Threshold | None, new: Threshold) -> dict[str, Any]:
    return {
        "event": "threshold",
        "watchlist": name,
        "threshold": round(new.cosine, 8),
        "before": None if old is None else round(old.cosine, 8),
        "target_fpir": new.target_fpir,
        "target_not_shown": new.target_not_shown,
        "templates": new.templates,
    }


def _whose(name: str) -> str:
    return f"watchlist {name}" if name else "lists without one of their own"
