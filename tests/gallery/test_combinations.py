"""Combinations of lists: as many as are in use, each with its rows, whatever happened before."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from office import Office, unit

from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery.combinations import Combination, Combinations

LISTS = ("a", "b", "c")


class CombinationsMachine(RuleBasedStateMachine):
    """Subjects of one row each come, go and lose lists; a dictionary says who is on which."""

    def __init__(self) -> None:
        super().__init__()
        self.combinations = Combinations()
        self.on: dict[int, Combination] = {}
        self.row = 0

    @rule(names=st.sets(st.sampled_from(LISTS)))
    def come(self, names: set[str]) -> None:
        combination, _ = self.combinations.of(tuple(sorted(names)))
        combination.subjects += 1
        self.combinations.add(combination, np.array([self.row]))
        self.on[self.row] = combination
        self.row += 1

    @precondition(lambda self: self.on)
    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(sorted(self.on)))
        combination = self.on.pop(row)
        self.combinations.remove(combination, row)
        self.combinations.release(combination)

    @rule(name=st.sampled_from(LISTS))
    def drop(self, name: str) -> None:
        self.combinations.drop(name)

    @invariant()
    def holds_who_is_on_which(self) -> None:
        used = {id(each): each for each in self.on.values()}
        assert {id(each) for each in self.combinations} == set(used)
        for each in used.values():
            rows = {row for row, on in self.on.items() if on is each}
            assert set(each.members().tolist()) == rows
            assert each.subjects == len(rows)
            assert each.number < self.combinations.numbers
        for name in LISTS:
            assert self.combinations.on_any([name]) == {each for each in used.values() if name in each.names}


TestCombinations = CombinationsMachine.TestCase
TestCombinations.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


def test_combinations_that_nobody_is_on_are_forgotten() -> None:
    """What was in use once does not add up for ever, and its number is another's."""
    names = [f"list-{number}" for number in range(6)]
    office = Office(*map(Watchlist, names), start=False)
    vectors = unit(np.random.default_rng(1), 1)
    for chosen in itertools.combinations(names, 2):
        office.enrol("a", vectors, *chosen)
        office.enrol("b", vectors, *chosen)
        one, other = (office.gallery._contents._owners[each].combination for each in ("a", "b"))
        assert one is other
        assert one.names == chosen
    assert office.gallery._contents._combinations.numbers <= 3


def test_a_list_is_left_by_all_its_members_in_one_step() -> None:
    """Whoever is on it, and on whatever else, deleting a list changes each combination once."""
    office = Office(Watchlist("a"), Watchlist("b"), start=False)
    rng = np.random.default_rng(2)
    office.enrol_all([(f"both-{i}", each[np.newaxis]) for i, each in enumerate(unit(rng, 100))], "a", "b")
    office.enrol_all([(f"one-{i}", each[np.newaxis]) for i, each in enumerate(unit(rng, 100))], "b")
    office.drop_list("a")
    assert {each.combination.names for each in office.gallery._contents._owners.values()} == {("b",)}
    rows = office.gallery._contents.selections.of(frozenset({"b"}), in_force=True).rows
    assert rows is not None
    assert len(rows) == 200
