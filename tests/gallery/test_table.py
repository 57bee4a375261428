"""The table of templates under any sequence of changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gerbang_service.gallery.table import ALWAYS, NEVER, NO_LABELS, Owner, Table

DIMENSION = 4


def owner(name: str) -> Owner:
    return Owner(name, (), NO_LABELS, ALWAYS, NEVER, ())


def vector(seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    return values / np.linalg.norm(values)


class TableMachine(RuleBasedStateMachine):
    """Adds, removes and re-describes templates, and compares the table with a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table(DIMENSION)
        self.model: dict[int, tuple[str, int]] = {}
        self.next_id = 1

    @rule(word=st.integers(0, 2), bit=st.integers(0, 63))
    def add(self, word: int, bit: int) -> None:
        bits = np.zeros(word + 1, np.uint64)
        bits[word] = np.uint64(1 << bit)
        template = self.next_id
        self.next_id += 1
        self.table.add(owner(f"s{template}"), template, vector(template), bits)
        self.model[template] = (f"s{template}", 64 * word + bit)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        template = data.draw(st.sampled_from(sorted(self.model)))
        row = self.table.remove(template)
        del self.model[template]
        assert not self.table.columns.vectors[row].any(), "the vector is erased at once"

    @precondition(lambda self: any(number >= 0 for _, number in self.model.values()))
    @rule(data=st.data())
    def clear_list(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted({number for _, number in self.model.values() if number >= 0})))
        self.table.clear_list(number)
        self.model = {t: (name, -1 if n == number else n) for t, (name, n) in self.model.items()}

    @invariant()
    def holds_exactly_what_was_put_in(self) -> None:
        columns = self.table.columns
        assert self.table.live_count == len(self.model) == np.count_nonzero(columns.live[: columns.rows])
        for template, (name, number) in self.model.items():
            row = self.table.row_of(template)
            assert row is not None
            found = columns.owners[row]
            assert found is not None
            assert found.subject_id == name
            assert columns.template_ids[row] == template
            assert np.array_equal(columns.vectors[row], vector(template))
            on = np.flatnonzero(np.unpackbits(columns.lists[row].view(np.uint8), bitorder="little"))
            assert on.tolist() == ([] if number < 0 else [number])


TestTableMachine = TableMachine.TestCase
TestTableMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_a_freed_row_is_not_given_away_while_a_search_that_may_know_it_runs() -> None:
    """Else the search could report one person's score under another's name."""
    table = Table(DIMENSION)
    no_lists = np.zeros(1, np.uint64)
    table.add(owner("a"), 1, vector(1), no_lists)
    with table.readers.reading():
        freed = table.remove(1)
        assert table.add(owner("b"), 2, vector(2), no_lists) != freed
    assert table.add(owner("c"), 3, vector(3), no_lists) == freed


def test_growing_keeps_every_row_and_old_views() -> None:
    """A search that started before the table grew goes on with what it saw."""
    table = Table(DIMENSION, capacity=1024)
    no_lists = np.zeros(1, np.uint64)
    for template in range(1, 1025):
        table.add(owner(f"s{template}"), template, vector(template), no_lists)
    before = table.columns
    table.add(owner("one more"), 2000, vector(2000), no_lists)
    assert table.columns.capacity > before.capacity
    assert before.rows == 1024
    assert np.array_equal(table.columns.vectors[:1024], before.vectors[:1024])


def test_many_at_once_equal_one_by_one() -> None:
    """Loading in bulk gives the same table as adding."""
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((50, DIMENSION)).astype(np.float32)
    bits = rng.integers(0, 2**63, (50, 2), dtype=np.uint64)
    owners = [owner(f"s{i}") for i in range(50)]
    bulk, single = Table(DIMENSION), Table(DIMENSION)
    single.add(owners[0], 1, vectors[0], bits[0])
    bulk.add(owners[0], 1, vectors[0], bits[0])
    bulk.add_many(owners[1:], np.arange(2, 51), vectors[1:], bits[1:])
    for i in range(1, 50):
        single.add(owners[i], i + 1, vectors[i], bits[i])
    for name in ("vectors", "live", "lists", "valid_from", "expires", "template_ids"):
        assert np.array_equal(getattr(bulk.columns, name)[:50], getattr(single.columns, name)[:50]), name
    assert bulk.columns.owners == single.columns.owners


def test_an_unknown_template_has_no_row() -> None:
    """Removing what is not there is a mistake that shows."""
    table = Table(DIMENSION)
    assert table.row_of(7) is None
    with pytest.raises(KeyError):
        table.remove(7)
