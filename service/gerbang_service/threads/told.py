"""Results that come from other threads, told to the event loop: of many in one go.

To wake the event loop costs the thread that does it a system call, and the interpreter, which it gets back when the
event loop pauses: half a millisecond later on a busy server. So a thread that has many results at once has the event
loop run one function that completes all of their futures, and whoever waits for one of these is not woken once more.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeAlias

Tell: TypeAlias = Callable[[Callable[[], object]], object]
"""Has a function run where results are waited for: a loop's `call_soon_threadsafe`. Called from any thread."""


def at_once(telling: Callable[[], object]) -> None:
    """Run a function in the thread that has it: a Tell for those who wait in threads."""
    telling()


def done(future: Future[Any]) -> asyncio.Future[None]:
    """Return what is done in this event loop when `future` is, however that ends; cancelling it cancels nothing."""
    loop, me = asyncio.get_running_loop(), threading.get_ident()
    told: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not told.done():
            told.set_result(None)

    def completed(_: Future[Any]) -> None:
        if threading.get_ident() == me:
            tell()
        else:
            loop.call_soon_threadsafe(tell)

    future.add_done_callback(completed)
    return told
