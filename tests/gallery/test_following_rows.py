"""What is derived from the table row by row equals what is made anew: selections, validity, backlogs."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from office import Office, unit

from gerbang_service.domain.changes import WatchlistPut
from gerbang_service.domain.questions import Plan
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery import selection, validity
from gerbang_service.gallery.candidates.backlog import Backlog
from gerbang_service.gallery.combinations import Combination
from gerbang_service.gallery.table import ALWAYS, NEVER, NO_LABELS, Owner, Table
from gerbang_service.gallery.validity import Validity

LISTS = ("a", "b", "c")
KEYS = [frozenset({"a"}), frozenset({"b"}), frozenset({"a", "c"}), frozenset(LISTS), None]


@pytest.mark.parametrize("few", [2, 10_000])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_selection_that_is_kept_up_to_date_is_as_one_made_anew(few: int, data: st.DataObject) -> None:
    """Whatever people and the clock do, as a list of rows and as a bitmap, a kept selection is what is selected now."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(selection, "_FEW", few)
        patched.setattr(selection, "_MANY", data.draw(st.sampled_from([2, 4096])))
        now = [100]
        office = Office(*map(Watchlist, LISTS), clock=lambda: now[0], start=False)
        vector = unit(np.random.default_rng(1), 1)
        selections = office.gallery._contents.selections
        for number in range(data.draw(st.integers(3, 25))):
            office.gallery._now()
            for names in KEYS:
                selections.of(names, in_force=True)
            people = sorted(office.records)
            action = data.draw(st.sampled_from(["enrol", "move", "delete", "time", "list"]))
            if action == "enrol" or not people:
                lists = data.draw(st.sets(st.sampled_from(LISTS)))
                begin, end = data.draw(st.sampled_from([(None, None), (90, 120), (110, 130), (None, 105)]))
                known = office.gallery.watchlist_ids
                office.enrol(f"s{number}", vector, *(lists & set(known)), from_ns=begin, until_ns=end)
            elif action == "move":
                lists = data.draw(st.sets(st.sampled_from(LISTS))) & set(office.gallery.watchlist_ids)
                office.change(data.draw(st.sampled_from(people)), watchlists=tuple(sorted(lists)))
            elif action == "delete":
                office.delete(data.draw(st.sampled_from(people)))
            elif action == "time":
                now[0] = data.draw(st.integers(80, 140))
            elif "c" in office.gallery.watchlist_ids:
                office.drop_list("c")
            else:
                office.apply(WatchlistPut(office.next(), Watchlist("c")))
        office.gallery._now()
        for key in KEYS:
            kept = selections.of(key, in_force=True)
            anew = selections._made(key, True)
            assert _rows(kept) == _rows(anew) == _expected(office, key, now[0])
            assert kept.count == anew.count == len(_rows(anew))


def _rows(selected: selection.Selection) -> list[int]:
    if selected.rows is not None:
        return list(map(int, selected.rows))
    assert selected.bits is not None
    return list(map(int, np.flatnonzero(np.unpackbits(selected.bits, bitorder="little"))))


def _expected(office: Office, key: frozenset[str] | None, now: int) -> list[int]:
    owners = office.gallery._contents._owners
    rows: list[int] = []
    for name, (subject, _) in office.records.items():
        counts = key is None or not key.isdisjoint(subject.watchlists)
        begins = subject.valid_from_ns is None or subject.valid_from_ns <= now
        ends = subject.expire_time_ns is not None and subject.expire_time_ns <= now
        if counts and begins and not ends:
            rows += owners[name].rows
    return sorted(rows)


times = st.sampled_from([int(ALWAYS), int(NEVER), *range(10, 100, 10)])


@given(
    rows=st.lists(st.tuples(times, times), max_size=30),
    moments=st.lists(st.integers(0, 110), min_size=1, max_size=12),
    recent=st.sampled_from([4, 1000]),
)
@settings(max_examples=200, deadline=None)
def test_moving_in_time_names_whose_validity_changed(
    rows: list[tuple[int, int]], moments: list[int], recent: int
) -> None:
    """On and back: whose validity changed between two moments is named, and in the interval told nobody's does."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(validity, "_RECENT", recent)
        table = Table(1)
        edges = Validity(table, 50)
        nobody = Combination(0, ())
        for number, (begin, end) in enumerate(rows):
            owner = Owner(f"s{number}", nobody, NO_LABELS, begin, end, ())
            edges.note(table.add([owner], np.array([number]), np.ones((1, 1), np.float32), 1))
        everybody = slice(0, table.rows)
        for moment in moments:
            before = table.in_force(everybody, edges.moment_ns)
            passed = edges.move_to(moment)
            changed = np.flatnonzero(table.in_force(everybody, moment) != before)
            assert set(changed.tolist()) <= set(passed.tolist())
            assert edges.holds(moment)
            begin, end = edges._span
            for same in (begin, end - 1):
                if ALWAYS < same < NEVER - 1:
                    now = table.in_force(everybody, moment)
                    assert np.array_equal(now, table.in_force(everybody, same))


def test_an_edge_that_is_noted_again_and_again_is_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Someone whose entry is updated a thousand times has one beginning and one end."""
    monkeypatch.setattr(validity, "_RECENT", 16)
    table = Table(1)
    edges = Validity(table, 50)
    owner = Owner("s", Combination(0, ()), NO_LABELS, 40, 60, ())
    rows = table.add([owner], np.array([1]), np.ones((1, 1), np.float32), 1)
    for _ in range(1000):
        edges.note(rows)
    assert len(edges._times) == 2


@pytest.mark.parametrize("limit", ["_KEPT_AT_MOST", "_KEPT_BYTES"])
def test_selections_that_nobody_asks_for_are_not_kept(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many sets of lists were ever searched: neither the selections nor what searches remember of them."""
    monkeypatch.setattr(selection, limit, 5 if limit == "_KEPT_AT_MOST" else 5 * 1200)
    made, make = weakref.WeakSet[selection.Selection](), selection.Selections._made

    def noted(*args: Any) -> selection.Selection:
        one = make(*args)
        made.add(one)
        return one

    monkeypatch.setattr(selection.Selections, "_made", noted)
    names = [f"l{number}" for number in range(50)]
    office = Office(*map(Watchlist, names), start=False)
    office.enrol("s", unit(np.random.default_rng(1), 1), "l0")
    probe = unit(np.random.default_rng(2), 1)[0]
    for name in names:
        office.answer(probe, Plan.SWEEP, name)
    gc.collect()
    assert 1 <= len(made) <= 5


class BacklogMachine(RuleBasedStateMachine):
    """Rows are put, dropped, taken and held; a set says which are in there."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog()
        self.inside: set[int] = set()
        self.taken: list[int] | None = None

    @rule(rows=st.sets(st.integers(0, 20), min_size=1))
    def put(self, rows: set[int]) -> None:
        new = rows - self.inside
        if new:
            self.backlog.put(np.array(sorted(new)))
            self.inside |= new

    @rule(row=st.integers(0, 25))
    def drop(self, row: int) -> None:
        assert self.backlog.drop(row) == (row in self.inside)
        self.inside.discard(row)
        if self.taken is not None:
            self.taken = [-1 if each == row else each for each in self.taken]

    @precondition(lambda self: self.taken is None)
    @rule(most=st.integers(1, 5))
    def take(self, most: int) -> None:
        self.taken = self.backlog.take(most).tolist()
        assert len(self.taken) == min(most, len(self.inside))
        assert set(self.taken) <= self.inside

    @precondition(lambda self: self.taken is not None)
    @rule()
    def hold(self) -> None:
        held = self.backlog.taken_in().tolist()
        assert held == self.taken
        self.inside -= set(held)
        self.taken = None

    @invariant()
    def knows_who_is_inside(self) -> None:
        assert self.backlog.count == len(self.inside)
        assert set(self.backlog.rows().tolist()) == self.inside


TestBacklog = BacklogMachine.TestCase
TestBacklog.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


def test_rows_that_nobody_takes_need_no_more_memory_as_they_come_and_go() -> None:
    """Who only follows, and searches nothing, never takes them."""
    backlog = Backlog()
    row = np.array([7])
    backlog.put(row)
    tracemalloc.start()
    try:
        for _ in range(20_000):
            backlog.drop(7)
            backlog.put(row.copy())
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert backlog.rows().tolist() == [7]
    assert grown < 100_000
