"""Watchlists as bits: every list has a small number, and a row of the table has a bit for each list."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


class ListNumbers:
    """The numbers of the watchlists there are. Writing methods belong to one thread, `bits` to any."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def add(self, watchlist_id: str) -> None:
        """Give a list the lowest free number, unless it has one."""
        if watchlist_id not in self._numbers:
            taken = set(self._numbers.values())
            self._numbers[watchlist_id] = next(n for n in range(len(taken) + 1) if n not in taken)

    def of(self, watchlist_id: str) -> int:
        """Return a list's number."""
        return self._numbers[watchlist_id]

    def remove(self, watchlist_id: str) -> None:
        """Free a list's number; no row may carry it any more."""
        del self._numbers[watchlist_id]

    @property
    def words(self) -> int:
        """Words that hold a bit for each list, at least 1."""
        return max(self._numbers.values(), default=0) // 64 + 1

    def bits(self, watchlist_ids: Iterable[str], words: int = 1) -> NDArray[np.uint64]:
        """Return the bits of lists: bit b of word w is the list numbered 64 w + b; as many words as needed, or more.

        A list that is not there, as it was deleted meanwhile, has none. uint64 (>= words,).
        """
        numbers = [number for each in watchlist_ids if (number := self._numbers.get(each)) is not None]
        bits = np.zeros(max(words, max(numbers, default=0) // 64 + 1), np.uint64)
        for number in numbers:
            bits[number // 64] |= np.uint64(1 << (number % 64))
        return bits
