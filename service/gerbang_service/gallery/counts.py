"""How many templates are on some lists, kept while they come and go: thresholds follow it in steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gerbang_service.domain.false_matches import step_of
from gerbang_service.gallery.combinations import Combination, Combinations

Names = frozenset[str]


@dataclass(slots=True, eq=False)
class _Counted:
    """Templates of who is on any of some lists, in force or not. `step`: the number that thresholds go by."""

    templates: int
    step: int = field(init=False)

    def __post_init__(self) -> None:
        self.step = step_of(self.templates)


class Counts:
    """The numbers that were asked for. Belongs to who holds off changes.

    What was answered once is answered again for as long as this lives: `moved` tells when it should not be any more.
    """

    def __init__(self, combinations: Combinations) -> None:
        self._combinations = combinations
        self._known: Final[dict[Names | None, _Counted]] = {}
        self._of_list: Final[dict[str, list[_Counted]]] = {}
        self._changed: set[_Counted] = set()

    def __len__(self) -> int:
        """Return how many numbers are kept."""
        return len(self._known)

    def on(self, names: Names | None) -> int:
        """Return the step of the number of templates on any of these lists; None: of all that there are."""
        known = self._known.get(names)
        if known is None:
            among = self._combinations if names is None else self._combinations.on_any(names)
            known = self._known[names] = _Counted(sum(each.count for each in among))
            for name in names or ():
                self._of_list.setdefault(name, []).append(known)
        return known.step

    def forget(self) -> None:
        """Start anew, when nobody goes by what was answered any more: callers may name lists in any number of ways."""
        self._known.clear()
        self._of_list.clear()
        self._changed.clear()

    def changed(self, combination: Combination, by: int) -> None:
        """Note that so many more templates, or fewer, are of a combination."""
        concerned = {each for name in combination.names for each in self._of_list.get(name, ())}
        if None in self._known:
            concerned.add(self._known[None])
        for each in concerned:
            each.templates += by
        self._changed |= concerned

    def moved(self) -> bool:
        """Tell whether one of the numbers is another step by now."""
        changed, self._changed = self._changed, set()
        return any(step_of(each.templates) != each.step for each in changed)
