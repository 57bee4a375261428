"""Reading a file from its beginning to its end beside who reads it here and there.

SQLite asks for a page of 8 kB at a time and waits for it. After a reboot, with nothing of the file in memory, the pages
of a million templates took it a minute; the same disk gives the whole file, read in order, within two seconds.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_AT_ONCE: Final = 1 << 22


@contextmanager
def reading_ahead(file: int) -> Iterator[None]:
    """Have the system take a file into its cache while the block runs, in a thread that ends with it.

    `file`: descriptor, whose position is not used. Raises nothing: what can't be read, who needs it will say.
    """
    done = threading.Event()

    def read() -> None:
        at = 0
        with suppress(OSError):
            while not done.is_set() and (got := len(os.pread(file, _AT_ONCE, at))):
                at += got

    thread = threading.Thread(target=read, name="read ahead", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
