"""Which rows count in a search: those on some lists and in force. A filter costs no recall.

A selection is made once for a set of lists, then kept up to date row by row. One of few rows is a list of them, to be
compared one by one; one of many is a bitmap, for generators to propose among.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gerbang_service.gallery.combinations import Combination, Combinations
from gerbang_service.gallery.consistency import Consistency
from gerbang_service.gallery.table import NEVER, Table
from gerbang_service.gallery.validity import Validity

# Up to this many rows are compared one by one, or up to this share of all: it is complete, and as fast as a sweep,
# which looks at every row whatever the filter (docs/search.md).
_FEW: Final = 256
_FEW_OF: Final = 256
# More rows than this, or than this share of all, are not changed one by one.
_MANY: Final = 4096
_MANY_OF: Final = 64
# What is kept of selections, bytes; those that were asked for least lately go first.
_KEPT_BYTES: Final = 256 * 2**20
# And how many: each change looks at all of them, a hundredth of a second for so many.
_KEPT_AT_MOST: Final = 1024
# Of one, besides its rows or bits.
_BESIDES_BYTES: Final = 1024

Key: TypeAlias = "tuple[frozenset[str] | None, bool]"


def few(rows: int) -> int:
    """Return how many rows are compared one by one, of a table of so many."""
    return max(_FEW, rows // _FEW_OF)


@dataclass(slots=True, weakref_slot=True, eq=False)
class Selection:
    """Rows that are visible, on one of the lists `names` (None: anybody) and, if so said, in force.

    Either `rows`: int64, ascending, replaced when it changes; or `bits`: uint8, bit r % 8 of byte r // 8 for row r,
    changed in place. `chosen`: bool, by the number of a combination of lists; None for all. `kept`: whether it is still
    being kept up to date.
    """

    names: frozenset[str] | None
    in_force: bool
    chosen: NDArray[np.bool_] | None
    count: int
    rows: NDArray[np.int64] | None
    bits: NDArray[np.uint8] | None
    kept: bool = True

    @property
    def key(self) -> Key:
        """What it is kept under."""
        return self.names, self.in_force

    def wants(self, combination: Combination) -> bool:
        """Tell whether who is on these lists counts."""
        return self.names is None or not self.names.isdisjoint(combination.names)

    @property
    def nbytes(self) -> int:
        """Its size."""
        parts = (self.chosen, self.rows, self.bits)
        return _BESIDES_BYTES + sum(each.nbytes for each in parts if each is not None)


class Selections:
    """The selections in use. `of` may be called by any thread; what tells of changes, by who holds off others."""

    def __init__(self, table: Table, combinations: Combinations, validity: Validity, consistency: Consistency) -> None:
        self._table = table
        self._combinations = combinations
        self._validity = validity
        self._consistency = consistency
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, Selection] = OrderedDict()
        self._bytes = 0

    def of(self, names: frozenset[str] | None, *, in_force: bool, known: Selection | None = None) -> Selection:
        """Return the selection of lists, None for anybody. `in_force`: only of those whose validity holds.

        `known`: what was returned for the same before, which is found without comparing names.
        """
        if known is not None and known.kept:
            # That it was used is noted if that needs no waiting.
            if self._lock.acquire(blocking=False):
                if known.kept:
                    self._kept.move_to_end(known.key)
                self._lock.release()
            return known
        with self._lock:
            found = self._kept.get((names, in_force))
            if found is not None:
                self._kept.move_to_end(found.key)
                return found
        with self._consistency.held_off():
            made = self._made(names, in_force)
            with self._lock:
                self._keep(made)
        return made

    def _keep(self, made: Selection) -> None:
        self._drop(made.key)
        self._kept[made.key] = made
        self._bytes += made.nbytes
        while len(self._kept) > _KEPT_AT_MOST or (self._bytes > _KEPT_BYTES and len(self._kept) > 1):
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        dropped = self._kept.pop(key, None)
        if dropped is not None:
            dropped.kept = False
            self._bytes -= dropped.nbytes

    # --- making -----------------------------------------------------------------------------------------------------

    def _made(self, names: frozenset[str] | None, in_force: bool) -> Selection:  # noqa: FBT001 - private
        table, chosen = self._table, None
        selection = Selection(names, in_force, None, 0, None, None)
        if names is not None:
            members = self._combinations.on_any(names)
            chosen = selection.chosen = np.zeros(self._combinations.numbers, np.bool_)
            chosen[[each.number for each in members]] = True
            count = sum(each.count for each in members)
            if count <= few(table.rows):
                rows = np.concatenate([np.empty(0, np.int32), *(each.members() for each in members)]).astype(np.int64)
                selection.rows = np.sort(rows[self._admitted(selection, rows)])
                selection.count = len(selection.rows)
                return selection
        admitted = self._admitted(selection, slice(0, table.rows))
        selection.count = int(np.count_nonzero(admitted))
        if selection.count <= few(table.rows):
            selection.rows = np.flatnonzero(admitted)
        else:
            # Room for a quarter more.
            selection.bits = np.zeros(len(admitted) * 5 // 32 + 128, np.uint8)
            packed = np.packbits(admitted, bitorder="little")
            selection.bits[: len(packed)] = packed
        return selection

    def _admitted(self, selection: Selection, rows: NDArray[np.int64] | slice) -> NDArray[np.bool_]:
        table = self._table
        admitted: NDArray[np.bool_] = table.died[rows] == NEVER
        if selection.chosen is not None:
            admitted &= selection.chosen[table.combination[rows]]
        if selection.in_force:
            admitted &= table.in_force(rows, self._validity.moment_ns)
        return admitted

    # --- following --------------------------------------------------------------------------------------------------

    def combined(self, combination: Combination) -> None:
        """Note a combination that nobody was on so far."""
        with self._lock:
            for selection in self._kept.values():
                if selection.chosen is not None:
                    if combination.number >= len(selection.chosen):
                        longer = np.zeros(2 * combination.number + 8, np.bool_)
                        longer[: len(selection.chosen)] = selection.chosen
                        self._bytes += longer.nbytes - selection.chosen.nbytes
                        selection.chosen = longer
                    selection.chosen[combination.number] = selection.wants(combination)

    def changed(self, rows: NDArray[np.int64], touched: NDArray[np.int64]) -> None:
        """Bring all up to date after rows changed. `touched`: numbers of the combinations they are and were on."""
        if not len(rows):
            return
        # As when a year's entries end at one midnight: each is made anew when it is asked for, not all of them now.
        anew = len(rows) > max(_MANY, self._table.rows // _MANY_OF)
        with self._lock:
            for key, selection in list(self._kept.items()):
                if selection.chosen is None or selection.chosen[touched].any():
                    before = selection.nbytes
                    fits = not anew and self._change(selection, rows)
                    self._bytes += selection.nbytes - before
                    if not fits:
                        self._drop(key)

    def _change(self, selection: Selection, rows: NDArray[np.int64]) -> bool:
        """Bring one up to date; tell whether it still is of the kind that its size asks for."""
        admitted = self._admitted(selection, rows)
        if selection.rows is not None:
            kept = np.setdiff1d(selection.rows, rows, assume_unique=True)
            selection.rows = np.sort(np.concatenate([kept, rows[admitted]]))
            selection.count = len(selection.rows)
            return selection.count <= 2 * few(self._table.rows)
        bits = selection.bits
        assert bits is not None  # noqa: S101 - the one or the other
        if (most := int(rows.max())) >> 3 >= len(bits):
            # A search that has the shorter one is of an earlier revision, which has none of these rows.
            selection.bits = np.zeros((most >> 3) * 5 // 4 + 128, np.uint8)
            selection.bits[: len(bits)] = bits
            bits = selection.bits
        masks = (1 << (rows & 7)).astype(np.uint8)
        was = (bits[rows >> 3] & masks) != 0
        np.bitwise_or.at(bits, rows[admitted] >> 3, masks[admitted])
        np.bitwise_and.at(bits, rows[~admitted] >> 3, ~masks[~admitted])
        selection.count += int(np.count_nonzero(admitted)) - int(np.count_nonzero(was))
        return 2 * selection.count > few(self._table.rows)

    def list_gone(self, watchlist_id: str) -> None:
        """Drop what was selected by a list that is no more."""
        with self._lock:
            for key in [each for each in self._kept if each[0] is not None and watchlist_id in each[0]]:
                self._drop(key)
