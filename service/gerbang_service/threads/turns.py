"""Turns: what tasks that work at once do in order all the same. For one event loop."""

from __future__ import annotations

import asyncio


class Turns:
    """Lets tasks that were started in order do one part of their work in that order."""

    def __init__(self) -> None:
        self._previous: asyncio.Future[None] | None = None

    def next(self) -> Turn:
        """Return the turn after the one returned before."""
        turn = Turn(self._previous)
        self._previous = turn.over
        return turn


class Turn:
    """A task's place in the order: `await turn.comes()`, do the part, `turn.end()`; ending twice does no harm."""

    def __init__(self, previous: asyncio.Future[None] | None) -> None:
        self._previous = previous
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def comes(self) -> None:
        """Wait until all earlier turns are over."""
        if self._previous is not None:
            await asyncio.shield(self._previous)

    def end(self) -> None:
        """Let the next turn come."""
        if not self.over.done():
            if self._previous is not None and not self._previous.done():
                # Gave up before its turn came: the next one still has to wait for the earlier ones.
                self._previous.add_done_callback(lambda _: self.end())
            else:
                self.over.set_result(None)
