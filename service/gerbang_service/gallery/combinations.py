"""Who is on which lists: a row of the table carries the number of a combination of lists, and each knows its rows.

Subjects have few combinations among them, however many subjects and lists there are. So a question is resolved once a
combination and not once a row, and a list that is deleted leaves its combinations, whoever is on it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gerbang_service.gallery.reserved import regrown, reserved

_SMALLEST: Final = 4


@dataclass(slots=True, eq=False)
class Combination:
    """Lists that some subjects are on. `names`: sorted; replaced when one of the lists is deleted.

    `subjects`: how many are on exactly these; with the last of them the combination goes, and its number may be
    another's.
    """

    number: int
    names: tuple[str, ...]
    subjects: int = 0
    rows: NDArray[np.int32] = field(default_factory=lambda: np.empty(_SMALLEST, np.int32))
    count: int = 0

    def members(self) -> NDArray[np.int32]:
        """Return the rows of these subjects, in no order; a view."""
        return self.rows[: self.count]


class Combinations:
    """All combinations in use. Belongs to who changes the gallery; others read while nothing changes."""

    def __init__(self) -> None:
        self._by_names: dict[tuple[str, ...], Combination] = {}
        self._by_number: list[Combination | None] = []
        self._of_list: dict[str, set[Combination]] = {}
        self._free: list[int] = []
        self.on_count: Callable[[Combination, int], object] = lambda _combination, _by: None
        """Told of each change of a combination's count, after it, and by how much."""
        # Where in its combination's rows each row of the table is.
        self._place = reserved(np.int32, 1)

    @property
    def numbers(self) -> int:
        """Numbers are below this."""
        return len(self._by_number)

    def __iter__(self) -> Iterator[Combination]:
        """Go through all combinations."""
        return (each for each in self._by_number if each is not None)

    def of(self, names: tuple[str, ...]) -> tuple[Combination, bool]:
        """Return the combination of these lists, sorted, and whether it is a new one."""
        known = self._by_names.get(names)
        if known is not None:
            return known, False
        made = Combination(self._free.pop() if self._free else len(self._by_number), names)
        if made.number == len(self._by_number):
            self._by_number.append(made)
        else:
            self._by_number[made.number] = made
        self._by_names[names] = made
        for name in names:
            self._of_list.setdefault(name, set()).add(made)
        return made, True

    def on_any(self, names: Collection[str]) -> set[Combination]:
        """Return the combinations with one of these lists."""
        return set().union(*(self._of_list.get(name, ()) for name in names))

    def drop(self, name: str) -> None:
        """Take a list out of all combinations: its members leave it. Costs a step a combination, not one a member."""
        for each in self._of_list.pop(name, ()):
            if self._by_names.get(each.names) is each:
                del self._by_names[each.names]
            each.names = tuple(kept for kept in each.names if kept != name)
            # There may be another of the same names by now: both go on.
            self._by_names.setdefault(each.names, each)

    def release(self, combination: Combination) -> None:
        """Note that a subject left a combination."""
        combination.subjects -= 1
        if combination.subjects:
            return
        if self._by_names.get(combination.names) is combination:
            del self._by_names[combination.names]
        for name in combination.names:
            self._of_list[name].discard(combination)
            if not self._of_list[name]:
                del self._of_list[name]
        self._by_number[combination.number] = None
        self._free.append(combination.number)

    def add(self, combination: Combination, rows: NDArray[np.int64]) -> None:
        """Note rows as those of a combination."""
        begin, end = combination.count, combination.count + len(rows)
        if end > len(combination.rows):
            longer = np.empty(max(end, 2 * begin), np.int32)
            longer[:begin] = combination.rows[:begin]
            combination.rows = longer
        if len(rows) and (most := int(rows.max())) >= len(self._place):
            self._place = regrown(self._place, len(self._place), 2 * (most + 1))
        combination.rows[begin:end] = rows
        self._place[rows] = np.arange(begin, end)
        combination.count = end
        self.on_count(combination, len(rows))

    def fill(self, numbers: NDArray[np.int32]) -> None:
        """Note the rows of all combinations at once: row i is of the combination `numbers[i]`.

        None were noted before.
        """
        if not len(numbers):
            return
        order = np.argsort(numbers, kind="stable")
        begins = np.searchsorted(numbers[order], np.arange(self.numbers + 1))
        for each in self:
            self.add(each, order[begins[each.number] : begins[each.number + 1]])

    def remove(self, combination: Combination, row: int) -> None:
        """Note that a row is not of a combination any more: the last of its rows takes the place."""
        combination.count -= 1
        last, place = combination.rows[combination.count], self._place[row]
        combination.rows[place] = last
        self._place[last] = place
        self.on_count(combination, -1)
