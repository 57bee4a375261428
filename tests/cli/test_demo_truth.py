"""The demonstration knows who must be hit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gerbang_service.cli.demo.cast import Part
from gerbang_service.cli.demo.truth import Entry, Truth, entries, gravest

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_demo_knows_the_truth() -> None:
    """Only lists of the direction, in force at that moment, must be hit; the gravest action counts."""
    truth = Truth(entries(NOW), NOW)
    assert truth.lists(Part.EXIT_BANNED, "departure") == ["cegah"]
    assert truth.lists(Part.EXIT_BANNED, "arrival") == []
    assert truth.lists(Part.EXIT_BAN_OVER, "departure") == truth.lists(Part.EXIT_BAN_AHEAD, "departure") == []
    assert gravest(truth.lists(Part.WANTED_AND_BANNED, "departure")) == "defer_departure"
    assert gravest(truth.lists(Part.WANTED_AND_BANNED, "arrival")) == "refer_to_officer"
    truth.over(Part.EXIT_BANNED)
    truth.put(Part.RESIDENT, Entry(("tangkal",), expire_time=NOW + timedelta(days=1)))
    assert truth.lists(Part.EXIT_BANNED, "departure") == []
    assert truth.lists(Part.RESIDENT, "arrival") == ["tangkal"]
