"""What a search reads may be changed between two reads, and replaced under native code."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import pytest
from office import Office, unit

from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery.judge import cosines
from gerbang_service.gallery.table import Table


class Interrupted:
    """A column of a table; something happens just after it was read first."""

    def __init__(self, column: np.ndarray, act: Callable[[], None]) -> None:
        self._column, self._act = column, act

    def __getitem__(self, rows: Any) -> np.ndarray:
        content: np.ndarray = self._column[rows].copy()
        self._act()
        return content


@pytest.mark.parametrize("column", ["born", "died"])
def test_a_row_that_is_used_again_is_of_its_own_revision(column: str) -> None:
    """Enrolled while a search reads when rows were born and died: nobody of a later revision is in an answer."""
    office = Office(Watchlist("a"))
    face = unit(np.random.default_rng(3), 1)
    for name in ("wanted", "gone"):
        office.enrol(name, face, "a")
    office.delete("gone")
    table, revision = office.gallery._table, office.revision
    whole = getattr(table, column)

    def enrol() -> None:
        setattr(table, column, whole)
        office.enrol("next", face, "a")

    setattr(table, column, Interrupted(whole, enrol))
    assert np.count_nonzero(table.visible(slice(0, table.rows), revision)) == 1


def test_vectors_stay_while_they_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table may be given larger columns meanwhile: freed under native code, the old ones would end the process."""
    table, score, there = Table(8), faiss.fvec_inner_products_by_idx, []
    old = weakref.ref(table.vectors)

    def scored(*args: Any) -> None:
        table.vectors = table.vectors.copy()
        gc.collect()
        there.append(old() is not None)
        score(*args)

    monkeypatch.setattr(faiss, "fvec_inner_products_by_idx", scored)
    cosines(table, np.ones((1, 8), np.float32), np.zeros((1, 4), np.int64))
    assert there == [True]
