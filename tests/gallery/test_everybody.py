"""Searches of everybody who is enrolled, as for duplicates: on a list or not, in force or not."""

from __future__ import annotations

import numpy as np
import pytest
from office import Office, unit

from gerbang_service.domain.questions import Everybody, OnLists
from gerbang_service.domain.thresholds import Rule
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery import scopes


@pytest.fixture(scope="module")
def office() -> Office:
    """A crowd on list `a`, and four people of one face: on a list each, on none, and expired."""
    rng = np.random.default_rng(71)
    made = Office(Watchlist("a"), Watchlist("b"), start=False)
    made.enrol_all([(f"s{i}", each[np.newaxis]) for i, each in enumerate(unit(rng, 600))], "a")
    face = np.eye(1, 16, dtype=np.float32)
    made.enrol("on a", face, "a")
    made.enrol("on b", face, "b")
    made.enrol("on none", face)
    made.enrol("over", face, "a", until_ns=1)
    return made


def found(office: Office, **asked: object) -> list[str]:
    probe = np.eye(1, 16, dtype=np.float32)[0]
    return [each.subject_id for each in office.everybody(probe, 0.9, **asked)]  # type: ignore[arg-type]


def test_everybody_is_found(office: Office) -> None:
    """Whatever lists they are on, and whatever their validity."""
    assert found(office) == ["on a", "on b", "on none", "over"]


def test_who_is_left_out_is_not_found(office: Office) -> None:
    """A subject is no duplicate of itself."""
    assert found(office, besides="on b") == ["on a", "on none", "over"]


def test_a_bound_caller_finds_whom_it_sees(office: Office) -> None:
    """Only those on one of its lists."""
    assert found(office, seen_by=frozenset({"b"})) == ["on b"]
    assert found(office, seen_by=frozenset({"a"})) == ["on a", "over"]


def test_bulk_enrolment_forgets_nothing_that_gates_ask(office: Office) -> None:
    """However many people are looked up for duplicates, what gates ask again and again stays resolved."""
    known = office.gallery._contents.state.scopes
    asked = known.of(OnLists(Rule(0.5)))
    for number in range(2 * scopes._KEPT):
        found(office, besides=f"s{number}")
    assert known.of(OnLists(Rule(0.5))) is asked
    assert known.of(Everybody(Rule(0.9))) is known.of(Everybody(Rule(0.9)))
