"""Which changes let a list stop fewer people."""

from __future__ import annotations

import dataclasses

import pytest

from gerbang_service.domain.subjects import Subject, TemplateInfo
from gerbang_service.domain.watchlists import Action, Direction, Watchlist
from gerbang_service.domain.weakening import Weakening, of_subject, of_watchlist

ONE, OTHER, NEW = (TemplateInfo(number, "m", 0, None) for number in (1, 2, 3))
SUBJECT = Subject("s", ("v", "w"), 10, 20, templates=(ONE, OTHER))
WATCHLIST = Watchlist("v", "title", Direction.BOTH, Action.DEFER_DEPARTURE, 0.5)
REMOVED, VALIDITY, LIST = Weakening.REMOVED, Weakening.VALIDITY, Weakening.LIST
TEMPLATES = Weakening.TEMPLATES


@pytest.mark.parametrize(
    ("change", "weakened"),
    [
        ({"labels": {"a": "b"}}, set()),
        ({"watchlists": ("u", "v", "w")}, set()),
        ({"watchlists": ("w",)}, {("v", REMOVED)}),
        ({"watchlists": ()}, {("v", REMOVED), ("w", REMOVED)}),
        ({"templates": ()}, {("v", REMOVED), ("w", REMOVED)}),
        ({"templates": (OTHER,)}, {("v", TEMPLATES), ("w", TEMPLATES)}),
        ({"templates": (OTHER, NEW), "watchlists": ("v",)}, {("v", TEMPLATES), ("w", REMOVED)}),
        ({"templates": (ONE, OTHER, NEW)}, set()),
        ({"expire_time_ns": 21}, set()),
        ({"expire_time_ns": None}, set()),
        ({"expire_time_ns": 19}, {("v", VALIDITY), ("w", VALIDITY)}),
        ({"valid_from_ns": 9}, set()),
        ({"valid_from_ns": None}, set()),
        ({"valid_from_ns": 11}, {("v", VALIDITY), ("w", VALIDITY)}),
        ({"valid_from_ns": 11, "watchlists": ("u", "v")}, {("v", VALIDITY), ("w", REMOVED)}),
    ],
)
def test_changes_of_a_subject(change: dict[str, object], weakened: set[tuple[str, Weakening]]) -> None:
    assert of_subject(SUBJECT, dataclasses.replace(SUBJECT, **change)) == weakened  # type: ignore[arg-type]


def test_a_limit_where_there_was_none_is_one() -> None:
    """Of who was valid from ever, or for ever."""
    unlimited = dataclasses.replace(SUBJECT, valid_from_ns=None, expire_time_ns=None)
    for limited in (dataclasses.replace(unlimited, valid_from_ns=0), dataclasses.replace(unlimited, expire_time_ns=99)):
        assert of_subject(unlimited, limited) == {("v", VALIDITY), ("w", VALIDITY)}


@pytest.mark.parametrize(
    ("change", "weakens"),
    [
        ({"title": "new"}, False),
        ({"action": Action.REFUSE_ENTRY}, False),
        ({"action": Action.SILENT_ALERT}, True),
        ({"threshold": 0.4}, False),
        ({"threshold": 0.6}, True),
        ({"threshold": None}, True),
        ({"threshold": None, "target_fpir": 0.01}, True),
        ({"two_person_removal": True}, False),
        ({"direction": Direction.ARRIVAL}, True),
    ],
)
def test_changes_of_a_list(change: dict[str, object], weakens: bool) -> None:  # noqa: FBT001
    """Between its own threshold and the server's nobody knows which is higher: that is told too."""
    changed = dataclasses.replace(WATCHLIST, **change)  # type: ignore[arg-type]
    assert of_watchlist(WATCHLIST, changed) == ({("v", LIST)} if weakens else set())


def test_a_list_that_is_deleted_or_widened() -> None:
    """It stops nobody any more; one for both directions stops more."""
    assert of_watchlist(WATCHLIST, None) == {("v", LIST)}
    arrival = dataclasses.replace(WATCHLIST, direction=Direction.ARRIVAL)
    assert of_watchlist(arrival, WATCHLIST) == set()


def test_a_list_that_may_stop_fewer_strangers_or_needs_no_second_person() -> None:
    """A lower target is a higher threshold; between a target of its own and the server's nobody knows."""
    follows = dataclasses.replace(WATCHLIST, threshold=None, target_fpir=0.01, two_person_removal=True)
    for change, weakens in (
        ({"target_fpir": 0.02}, False),
        ({"target_fpir": 0.001}, True),
        ({"target_fpir": None}, True),
        ({"target_fpir": None, "threshold": 0.1}, True),
        ({"two_person_removal": False}, True),
    ):
        changed = dataclasses.replace(follows, **change)
        assert of_watchlist(follows, changed) == ({("v", LIST)} if weakens else set()), change
    unset = dataclasses.replace(follows, target_fpir=None)
    assert of_watchlist(unset, follows) == {("v", LIST)}
