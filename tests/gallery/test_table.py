"""The table of templates under any sequence of changes."""

from __future__ import annotations

import errno
import itertools
import mmap
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gerbang_service.gallery import reserved
from gerbang_service.gallery.combinations import Combination
from gerbang_service.gallery.table import ALWAYS, NEVER, NO_LABELS, Owner, Table

DIMENSION = 4


def owner(name: str, number: int = 0) -> Owner:
    return Owner(name, Combination(number, ()), NO_LABELS, ALWAYS, NEVER, ())


def vectors(*seeds: int) -> np.ndarray:
    values = np.stack([np.random.default_rng(seed).standard_normal(DIMENSION) for seed in seeds]).astype(np.float32)
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True), np.float32)


class TableMachine(RuleBasedStateMachine):
    """Adds and ends templates, a revision a change, and compares what each revision sees with what was there then."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table(DIMENSION)
        self.revision = 0
        self.rows: dict[int, int] = {}
        self.seen: dict[int, set[int]] = {0: set()}
        self.next_id = 1
        self.reused = False

    @rule(count=st.integers(1, 5))
    def add(self, count: int) -> None:
        ids = range(self.next_id, self.next_id + count)
        self.next_id += count
        self.revision += 1
        owners = [owner(f"s{each}", each % 7) for each in ids]
        rows = self.table.add(owners, np.array(ids), vectors(*ids), self.revision)
        # A row that is another's now can't tell what it was in earlier revisions.
        if set(rows.tolist()) & {row for row in range(self.table.rows) if row in self.ended}:
            self.seen = {}
        self.rows |= zip(ids, rows.tolist(), strict=True)
        self.seen[self.revision] = set(self.rows)

    @property
    def ended(self) -> set[int]:
        return set(range(self.table.rows)) - set(self.rows.values())

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), erased=st.booleans())
    def end(self, data: st.DataObject, erased: bool) -> None:  # noqa: FBT001
        ids = data.draw(st.sets(st.sampled_from(sorted(self.rows)), min_size=1))
        rows = [self.rows.pop(each) for each in ids]
        self.revision += 1
        self.table.end(rows, self.revision)
        if erased:
            self.table.erase(np.array(rows))
            assert not self.table.vectors[rows].any(), "vectors are erased at once"
        self.seen[self.revision] = set(self.rows)

    @invariant()
    def holds_exactly_what_was_put_in(self) -> None:
        assert self.table.size == len(self.rows)
        for template, row in self.rows.items():
            found = self.table.owners[row]
            assert found is not None
            assert found.subject_id == f"s{template}"
            assert self.table.template_ids[row] == template
            assert self.table.combination[row] == template % 7
            assert np.array_equal(self.table.vectors[row], vectors(template)[0])
        visible = self.table.visible(slice(0, self.table.rows), self.revision)
        assert set(np.flatnonzero(visible).tolist()) == set(self.rows.values())


TestTableMachine = TableMachine.TestCase
TestTableMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_a_row_is_seen_by_the_revisions_between_its_coming_and_going() -> None:
    """Not before, and not from the one on that took it away."""
    table = Table(DIMENSION)
    (row,) = table.add([owner("a")], np.array([1]), vectors(1), 5)
    table.end([int(row)], 8)
    assert [bool(table.visible(np.array([row]), each)[0]) for each in (4, 5, 7, 8)] == [False, True, True, False]


def test_a_freed_row_is_nobodys_for_who_searches_an_earlier_revision() -> None:
    """Else a search could report one person's score under another's name."""
    table = Table(DIMENSION)
    (first,) = table.add([owner("a")], np.array([1]), vectors(1), 1)
    table.end([int(first)], 2)
    table.erase(np.array([first]))
    (second,) = table.add([owner("b")], np.array([2]), vectors(2), 3)
    assert first == second
    assert not table.visible(np.array([second]), 2)[0]
    assert table.visible(np.array([second]), 3)[0]


def test_a_table_that_outgrows_its_addresses_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where few addresses can be had, growing keeps every row; a search that has the old columns goes on with them."""
    monkeypatch.setattr(reserved, "MOST_ROWS", 8)
    table = Table(DIMENSION)
    table.add([owner("s") for _ in range(8)], np.arange(8), vectors(*range(8)), 1)
    before = table.vectors
    table.add([owner("s") for _ in range(20)], np.arange(8, 28), vectors(*range(8, 28)), 2)
    assert len(before) == 8
    assert len(table.vectors) >= 28
    assert np.array_equal(table.vectors[:28], vectors(*range(28)))
    assert table.visible(slice(0, table.rows), 1).sum() == 8


def test_where_addresses_are_limited_twice_as_many_rows_as_needed_are_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something is left for others; what can't be had at all is a MemoryError."""
    whole = mmap.mmap

    def limited(number: int, length: int, **given: Any) -> mmap.mmap:
        if length > 100_000:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        return whole(number, length, **given)

    monkeypatch.setattr(mmap, "mmap", limited)
    assert reserved.reserved(np.float32, 1000, (8,)).shape == (2000, 8)
    assert reserved.reserved(np.float32, 3000, (8,)).shape == (3000, 8)
    with pytest.raises(MemoryError):
        reserved.reserved(np.float32, 10_000, (8,))


def test_columns_of_which_some_got_fewer_addresses_hold_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever column is the first to be full, every row is kept."""
    whole, turns = mmap.mmap, itertools.cycle([True, False, False])

    def every_third_is_limited(number: int, length: int, **given: Any) -> mmap.mmap:
        if length > 100_000 and next(turns):
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        return whole(number, length, **given)

    monkeypatch.setattr(mmap, "mmap", every_third_is_limited)
    table = Table(DIMENSION)
    for first in range(0, 500, 50):
        ids = range(first, first + 50)
        table.add([owner(f"s{each}") for each in ids], np.array(ids), vectors(*ids), 1)
    assert np.array_equal(table.vectors[:500], vectors(*range(500)))
    assert table.template_ids[:500].tolist() == list(range(500))
    assert table.visible(slice(0, 500), 1).all()


def test_growing_copies_nothing() -> None:
    """A column has the addresses of all the rows that there may be, and memory for those in use."""
    table = Table(DIMENSION, capacity=1024)
    before = table.vectors
    table.add([owner("s") for _ in range(5000)], np.arange(5000), np.tile(vectors(1), (5000, 1)), 1)
    assert table.vectors is before
