"""Files that are read again when they change: certificates, keys, the policy."""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from gerbang_service.domain.errors import StartupError

T = TypeVar("T")
log = logging.getLogger(__name__)

# How often the files are looked at, at most, seconds. A look costs some microseconds.
LOOK_EVERY_S = 0.5
_Look = tuple[int, int, int, int]


class Refreshed(Generic[T]):
    """What `make` makes of some files, made again when they changed. Thread-safe.

    Files that can't be used leave in force what was made before, are logged once as an error, and tried again at every
    look: of two files that belong together one may have been replaced a moment before the other.
    """

    def __init__(
        self, what: str, paths: Sequence[Path], make: Callable[[], T], on_change: Callable[[T], object] = lambda _: None
    ) -> None:
        """Read the files. What `make` raises passes through here, and only here; `what`: for the log.

        `on_change` is told what is in force from then on, before `current` returns it; in the thread of that call.
        """
        self._what = what
        self._paths = tuple(paths)
        self._make = make
        self._on_change = on_change
        self._lock = threading.Lock()
        # Before they are read: what is changed meanwhile is then seen as changed.
        self._seen = self._look()
        self._value = make()
        self._usable = True
        self._next_look = time.monotonic() + LOOK_EVERY_S

    def current(self) -> T:
        """Return what the files say now, as of at most LOOK_EVERY_S ago. Does not raise."""
        if time.monotonic() >= self._next_look:
            with self._lock:
                if time.monotonic() >= self._next_look:
                    self._read_again()
                    self._next_look = time.monotonic() + LOOK_EVERY_S
        return self._value

    def _read_again(self) -> None:
        seen = self._look()
        changed = seen != self._seen
        if self._usable and not changed:
            return
        self._seen = seen
        try:
            made = self._make()
            if made != self._value:
                self._on_change(made)
        except Exception as error:  # whatever it is: a file on the disk must not fail the calls of those let in
            if changed or self._usable:
                log.error(  # noqa: TRY400 - a trace only of what nobody expected
                    "%s changed and can't be used; the old one stays in force: %s",
                    self._what,
                    error,
                    exc_info=not isinstance(error, StartupError),
                )
            self._usable = False
            return
        self._usable = True
        if made != self._value:
            self._value = made
            log.warning("%s changed and is in force from now on", self._what)

    def _look(self) -> tuple[_Look | None, ...]:
        return tuple(map(_look_at, self._paths))


def _look_at(path: Path) -> _Look | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def read(setting: str, path: Path) -> bytes:
    """Return a file's content; raise StartupError, naming the setting, when it can't be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartupError(f"setting {setting}: {path}: {error.strerror}") from error


def replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file whole or not at all, with `mode` from its first byte on. Raises OSError."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def check_unwritable(setting: str, path: Path, mask: int) -> None:
    """Raise StartupError when somebody of `mask` (S_IWGRP, S_IWOTH) may write a file that decides who is let in."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise StartupError(f"setting {setting}: {path}: {error.strerror}") from error
    if mode & mask:
        raise StartupError(
            f"setting {setting}: {path} may be written by others (mode {stat.S_IMODE(mode):04o}): "
            "whoever can change it decides who is let in"
        )


def readable_by_all(path: Path) -> bool:
    """Tell whether every user of this machine may read a file that is there."""
    return bool(path.stat().st_mode & stat.S_IROTH)
