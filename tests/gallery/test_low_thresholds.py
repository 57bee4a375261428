"""A list with a low threshold costs only its own members, and loses nobody."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from office import Office, across, answered, unit

from gerbang_service.domain.questions import OnLists, Plan, Question
from gerbang_service.domain.thresholds import Rule
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery import judge

DIMENSION = 64
PEOPLE = 3000


def crowd(*lists: Watchlist) -> tuple[Office, np.random.Generator]:
    """Return an office with PEOPLE on list `usual`, whose threshold is the server's."""
    rng = np.random.default_rng(31)
    office = Office(Watchlist("usual"), *lists, dimension=DIMENSION, start=False)
    people = unit(rng, PEOPLE, DIMENSION)
    office.enrol_all([(f"s{i}", each[np.newaxis]) for i, each in enumerate(people)], "usual")
    return office, rng


def ask(office: Office, probe: np.ndarray, plan: Plan, **asked: Any) -> list[tuple[str, float]]:
    found = answered(office.gallery, Question(probe, OnLists(Rule(0.6), **asked), 5, plan)).candidates
    return [(each.subject_id, each.similarity) for each in found]


@pytest.mark.parametrize("plan", [Plan.BOTH, Plan.SWEEP, Plan.EXACT])
def test_a_threshold_of_zero_has_only_its_own_members_judged(monkeypatch: pytest.MonkeyPatch, plan: Plan) -> None:
    """One person on a list of threshold 0 is found at any similarity above it, and of the others nobody is scored."""
    office, rng = crowd(Watchlist("any", threshold=0.0))
    mate = unit(rng, 1, DIMENSION)
    office.enrol("on any", mate, "any")
    scored: list[int] = []
    exact = judge.exact

    def counted(table: Any, probe: np.ndarray, rows: np.ndarray) -> Any:
        scored.append(len(rows))
        return exact(table, probe, rows)

    monkeypatch.setattr(judge, "exact", counted)
    for similarity in (0.05, 0.2, 0.5):
        found = ask(office, across(mate[0], similarity, rng), plan)
        assert [name for name, _ in found] == ["on any"]
    for probe in -mate, unit(rng, 1, DIMENSION) - 2 * mate:
        assert ask(office, np.asarray(probe[0] / np.linalg.norm(probe), np.float32), plan) == []
    assert sum(scored) <= 5


@pytest.mark.parametrize("plan", [Plan.BOTH, Plan.SWEEP])
@given(seed=st.integers(0, 2**32 - 1), thresholds=st.lists(st.floats(-1, 1), min_size=1, max_size=7), data=st.data())
@settings(max_examples=25, deadline=None)
def test_lists_of_any_thresholds_answer_as_exact_comparison_does(
    plan: Plan, seed: int, thresholds: list[float], data: st.DataObject
) -> None:
    """However many lists, thresholds and members: the same candidates, scores and order as by comparing everybody."""
    rng = np.random.default_rng(seed)
    lists = [Watchlist(f"w{i}", threshold=each) for i, each in enumerate(thresholds)]
    office = Office(*lists, start=False)
    for i, each in enumerate(lists):
        count = data.draw(st.sampled_from((1, 40, 400)))
        office.enrol_all(
            [(f"{i}-{n}", vector[np.newaxis]) for n, vector in enumerate(unit(rng, count))],
            each.watchlist_id,
            *([lists[0].watchlist_id] if i and data.draw(st.booleans()) else ()),
        )
    for probe in unit(rng, 3):
        assert ask(office, probe, plan) == ask(office, probe, Plan.EXACT)


def test_the_level_of_a_list_does_not_depend_on_who_was_on_it_when_it_was_first_searched() -> None:
    """Searched while it is empty, then filled: a list of a low threshold still costs only its own members."""
    office, rng = crowd(Watchlist("any", threshold=-1.0))
    probe = unit(rng, 1, DIMENSION)[0]
    assert ask(office, probe, Plan.SWEEP) == []
    office.enrol_all([(f"any-{i}", each[np.newaxis]) for i, each in enumerate(unit(rng, 400, DIMENSION))], "any")
    assert ask(office, probe, Plan.SWEEP) == ask(office, probe, Plan.EXACT)
    assert all(name.startswith("any-") for name, _ in ask(office, probe, Plan.SWEEP))


def test_a_gates_threshold_opens_no_list_below_its_own() -> None:
    """With `never_below_own` a low threshold lowers none, and a high one raises all."""
    office, rng = crowd(Watchlist("strict", threshold=0.9), Watchlist("lax", threshold=0.3))
    strict, lax = unit(rng, 1, DIMENSION), unit(rng, 1, DIMENSION)
    office.enrol("strict", strict, "strict")
    office.enrol("lax", lax, "lax")

    def found(mate: np.ndarray, similarity: float, threshold: float) -> list[str]:
        probe = across(mate[0], similarity, np.random.default_rng(1))
        return [name for name, _ in ask(office, probe, Plan.BOTH, threshold=threshold, never_below_own=True)]

    assert found(strict, 0.8, -1.0) == []
    assert found(strict, 0.95, -1.0) == ["strict"]
    assert found(lax, 0.35, -1.0) == ["lax"]
    assert found(lax, 0.35, 0.5) == []
    assert found(lax, 0.55, 0.5) == ["lax"]
