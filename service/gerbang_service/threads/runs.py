"""Work on many things together: whatever has come while those before were worked on. For one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

Item = TypeVar("Item")

# Of a run: one that is larger saves nothing more, and the event loop has others to serve.
_LARGEST: Final = 64
# A second run is begun beside one that was left, once so many wait: a smaller one would cost more than it saves.
_WORTH_IT: Final = 32
_AT_ONCE: Final = 2


class Runs(Generic[Item]):
    """Lets things that come one by one be worked on in runs, in the order in which they came.

    Nobody waits for company: what comes when nothing is under way is begun in the same turn of the event loop, and what
    comes later when that is done, or, if it is much, beside it.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item], Callable[[], object]], Awaitable[object]],
        stuck: Callable[[], bool] = lambda: False,
    ) -> None:
        """`work` is given a run and what to call once the next run can't overtake this one. It must not raise.

        `stuck`: whether what is under way may take for ever; then nothing waits for it.
        """
        self._work = work
        self._stuck = stuck
        self._waiting: list[Item] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._entered = False
        self._due = False

    @property
    def waiting(self) -> int:
        """How many things are not in a run yet."""
        return len(self._waiting)

    def add(self, item: Item) -> None:
        """Have something worked on."""
        self._waiting.append(item)
        self._look()

    def _look(self) -> None:
        if not self._waiting or self._due or self._entered:
            return
        worth_it = len(self._tasks) < _AT_ONCE and len(self._waiting) >= _WORTH_IT
        if not self._tasks or worth_it or self._stuck():
            # Not at once: what the same turn of the event loop brings goes with it.
            self._due = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._due, self._entered = False, True
        run, self._waiting = self._waiting[:_LARGEST], self._waiting[_LARGEST:]
        left = False

        def leave() -> None:
            nonlocal left
            if not left:
                left, self._entered = True, False
                self._look()

        def ended(task: asyncio.Task[Any]) -> None:
            self._tasks.discard(task)
            leave()
            self._look()

        task = asyncio.ensure_future(self._work(run, leave))
        self._tasks.add(task)
        task.add_done_callback(ended)
