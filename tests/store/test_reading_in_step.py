"""Who is on which list is read beside the subjects: a damaged key may not hide whoever comes after it."""

from __future__ import annotations

from typing import Any

import pytest

from gerbang_service.domain.errors import DataDamaged
from gerbang_service.store.sqlite.loading import ascending

ROWS: list[tuple[Any, Any]] = [(1, 1), (1, 2), (2, 1), (3, 1)]


def test_rows_in_order_are_read() -> None:
    """As they are stored, each greater than the one before."""
    assert list(ascending(iter(ROWS))) == ROWS


@pytest.mark.parametrize(
    "damaged",
    [(4097, 1), (0, 1), (None, 1), (2, None), (2.0, 1), ("2", 1), (2, b"1"), (1, 2)],
    ids=repr,
)
def test_a_row_that_can_not_be_one_is_damage(damaged: tuple[Any, Any]) -> None:
    """Out of order, of another type, or twice: told, and nobody is left out."""
    with pytest.raises(DataDamaged):
        list(ascending(iter([*ROWS[:2], damaged, *ROWS[3:]])))
