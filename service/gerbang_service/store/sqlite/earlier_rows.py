"""Rows of subjects and watchlists as databases of older schemas had them."""

from __future__ import annotations

from typing import Any

from gerbang_service.store.sealing.cipher import place

# Whole rows, sealed, before lists had a target: `rows.watchlist_place` is of these too.
UNTARGETED_WATCHLIST = (
    "list_key, watchlist_id, title, direction, action, threshold, labels, create_time_ns, update_time_ns, revision"
)

# Before whole rows, and who is on which list, were sealed.
EARLIER_WATCHLIST = "watchlist_id, title, direction, action, threshold, labels, create_time_ns, update_time_ns"
EARLIER_SUBJECT = "subject_id, valid_from_ns, expire_time_ns, labels, create_time_ns, update_time_ns"


def earlier_watchlist_place(row: tuple[Any, ...]) -> bytes:
    """Return what the labels of EARLIER_WATCHLIST were bound to."""
    name, title, direction, action, threshold, _, created, updated = row
    return place("watchlists.labels", name, direction, action, threshold, created, updated, title)


def earlier_subject_place(row: tuple[Any, ...]) -> bytes:
    """Return what the labels of EARLIER_SUBJECT were bound to."""
    name, valid_from, expire_time, _, created, updated = row
    return place("subjects.labels", name, valid_from, expire_time, created, updated)
