"""A process is kept: begun, listened to, killed when it hangs, and replaced when it has died."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from gerbang_service.domain.errors import StartupError
from gerbang_service.running.child import Child
from gerbang_service.running.process import BEATS_EVERY_S, EXIT_FAILED, EXIT_REFUSED

log = logging.getLogger(__name__)

# One that was never ready, or lives shorter than this, seconds, died of its start; so many of those in a row, and the
# server ends.
_SHORT_LIFE_S = 10.0
_SHORT_LIVES = 5
# While others serve, one that refuses to start is tried again so often, seconds.
_REFUSED_AGAIN_S = 10.0
# One that is not ready yet is told of so often, seconds: a large gallery takes long, and a disk that hangs for ever.
_LATE_S = 60.0
# What it may need, beyond the grace for calls in flight, to end, seconds.
_ENDING_S = 10.0


class NotBegun(Exception):
    """A process could not be begun just now; the message says why."""


class Kept:
    """One process of the server, and the next in its place. Belongs to one event loop."""

    def __init__(
        self,
        name: str,
        begin: Callable[[], Awaitable[Child]],
        stopping: asyncio.Event,
        *,
        others_serve: Callable[[], bool],
        on_change: Callable[[], object],
        silent_beats: int,
        grace_s: float,
    ) -> None:
        """`begin`: begins one, raises NotBegun or OSError; `name`: for logs; `grace_s`: for its calls in flight.

        `others_serve`: whether the server is of use without it; `on_change`: told when one was begun, is ready or died.
        `silent_beats`: looks, one a beat, at which it has said nothing, after which it hangs.
        """
        self.name = name
        self.listening = asyncio.Event()
        self.ready = asyncio.Event()
        self.died = False
        """Whether one has ended that was not to."""
        self._begin = begin
        self._stopping = stopping
        self._others_serve = others_serve
        self._on_change = on_change
        self._silent_beats = silent_beats
        self._grace_s = grace_s
        self._child: Child | None = None
        self._begun_at = 0.0
        # Looks at it since it last said something.
        self._silent = 0

    def tell(self, message: bytes) -> None:
        """Send something to the process that there is now, if there is one."""
        if self._child is not None:
            self._child.tell(message)

    async def keep(self) -> None:
        """Keep it until `stopping`. Raises StartupError when nobody serves and it can't be started, or keeps dying."""
        short_lives = 0
        while not self._stopping.is_set():
            status = await self._one_life()
            if self._stopping.is_set():
                return
            self.died = True
            lived = time.monotonic() - self._begun_at
            # Loading a large gallery alone may take longer.
            short = lived < _SHORT_LIFE_S or not self.ready.is_set()
            self.ready.clear()
            self._on_change()
            short_lives = short_lives + 1 if short else 0
            if status != EXIT_REFUSED and short_lives < _SHORT_LIVES:
                log.error("%s ended with status %d after %.1f s; starting another", self.name, status, lived)
            elif self._others_serve():
                # A disk that is full, a key that was changed: what keeps this one from starting is no reason to stop
                # those that serve.
                log.critical("%s can't be started (status %d); the others serve on", self.name, status)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _REFUSED_AGAIN_S)
            elif status == EXIT_REFUSED:
                raise StartupError(f"{self.name} refused to start: see its message above")
            else:
                raise StartupError(f"{self.name} died {short_lives} times in a row soon after its start")

    async def _one_life(self) -> int:
        """Run one to its end, and return its exit status, negative for a signal."""
        stopping = asyncio.ensure_future(self._stopping.wait())
        beginning = asyncio.ensure_future(self._begin())
        try:
            await asyncio.wait((beginning, stopping), return_when=asyncio.FIRST_COMPLETED)
            self._begun_at = time.monotonic()
            if not beginning.done():
                return 0
            try:
                child = beginning.result()
            except (NotBegun, OSError) as error:
                log.error("%s can't be begun: %s", self.name, error)  # noqa: TRY400 - the text says it all
                return EXIT_FAILED
            return await self._seen_through(child, stopping)
        finally:
            beginning.cancel()
            stopping.cancel()

    async def _seen_through(self, child: Child, stopping: asyncio.Future[Any]) -> int:
        log.info("%s is process %d", self.name, child.pid)
        self._child = child
        self._on_change()
        ended = asyncio.ensure_future(child.wait())
        others = [asyncio.ensure_future(each) for each in (self._hear(child), self._say_when_late())]
        try:
            await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await self._end(child)
            return await ended
        finally:
            for each in others:
                each.cancel()
            self._child = None
            if not child.ended:  # a sibling's failure ends all
                await self._end(child)

    async def _say_when_late(self) -> None:
        while not self.ready.is_set():
            try:
                await asyncio.wait_for(self.ready.wait(), _LATE_S)
            except TimeoutError:
                log.warning("%s is not ready after %.0f s", self.name, time.monotonic() - self._begun_at)

    async def _hear(self, child: Child) -> None:
        looked_after: asyncio.Future[None] | None = None
        try:
            async for line in child.lines():
                self._silent = 0
                if looked_after is None:
                    looked_after = asyncio.ensure_future(self._kill_when_it_hangs(child))
                if line.startswith(b"listening on "):
                    self.listening.set()
                elif line.strip() == b"ready":
                    self.ready.set()
                    self._on_change()
        finally:
            if looked_after is not None:
                looked_after.cancel()

    async def _kill_when_it_hangs(self, child: Child) -> None:
        """Kill it when it has said nothing for too long, so that it is replaced.

        Looks are counted, not seconds: when this process itself was stopped, the others have lost nothing.
        """
        while self._silent < self._silent_beats:
            await asyncio.sleep(BEATS_EVERY_S)
            self._silent += 1
        silent_s = self._silent_beats * BEATS_EVERY_S
        log.critical("%s, process %d, has not answered for %.0f s and is killed", self.name, child.pid, silent_s)
        child.signal(signal.SIGKILL)

    async def _end(self, child: Child) -> None:
        child.signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(child.wait(), self._grace_s + _ENDING_S)
        except TimeoutError:
            log.error("%s did not end in time and is killed", self.name)  # noqa: TRY400 - the text says it all
            child.signal(signal.SIGKILL)
            await child.wait()
