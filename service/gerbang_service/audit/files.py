"""The files of a log: which there are, and what the last of them ends with."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gerbang_service.audit.chain import Line, take_apart
from gerbang_service.domain.errors import StartupError
from gerbang_service.store.folders import sync_file, sync_folder

LOCK_FILE = "LOCK"
HEAD_FILE = "head"
_NAME = re.compile(r"(\d{6,})\.jsonl")
COMMANDS = "commands"
"""The log of what commands did with the data folder, in a folder of this name beside the server's files."""
_WORKER = re.compile(r"worker-\d+")
# The end of a file is looked for in pieces of this size: longer than any record.
_PIECE = 1 << 20


class InUse(StartupError):
    """Another process has the log."""


def name_of(number: int) -> str:
    """Return the name of the file with this number; they begin with 1."""
    return f"{number:06d}.jsonl"


def number_of(file: Path) -> int:
    """Return a file's number, or 0 when it is not one of a log's."""
    match = _NAME.fullmatch(file.name)
    return int(match[1]) if match else 0


def log_files(folder: Path) -> list[Path]:
    """Return the files of the log in a folder, in their order. Raises OSError."""
    return sorted((each for each in folder.iterdir() if number_of(each)), key=number_of)


def log_name(folder: Path) -> str:
    """Return the name of the log that a folder is for: the folder's own for a worker's or commands', else nothing."""
    return folder.name if is_worker(folder) or folder.name == COMMANDS else ""


def is_worker(folder: Path) -> bool:
    """Tell whether a folder is for the log of a worker."""
    return _WORKER.fullmatch(folder.name) is not None


def chain_folders(folder: Path) -> list[Path]:
    """Return the folders of all logs in a folder: its own, then those of workers and of commands. Raises OSError."""
    workers = sorted(
        (each for each in folder.iterdir() if each.is_dir() and _has_log(each)), key=lambda each: each.name
    )
    return [folder, *workers] if _has_log(folder) or not workers else workers


def _has_log(folder: Path) -> bool:
    # All files gone, and the head left behind: that is for verifying to say.
    return (folder / HEAD_FILE).exists() or bool(log_files(folder))


def lock(folder: Path) -> int:
    """Make the folder if need be and take it; return the file descriptor that holds it.

    Raises StartupError when another process has it, or it can't be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = os.open(folder / LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise StartupError(f"audit folder {folder}: {error.strerror}") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise InUse(f"audit folder {folder} is in use by another process: give each server its own") from None
    return held


@dataclass(frozen=True, slots=True)
class Ending:
    """How a file ends.

    `line`: its last record, None when it has none; `size`: up to the end of the last whole line; `sound`: whether no
    line that is no record comes after the last record.
    """

    line: Line | None
    size: int
    sound: bool


def ending(file: Path) -> Ending:
    """Return how a file ends, leaving out what a kill in the middle of writing left of a line. Raises OSError."""
    with file.open("rb") as opened:
        end = opened.seek(0, os.SEEK_END)
        start, tail = end, b""
        # The whole last line: from the second last end of line to the last.
        while start and tail.count(b"\n") < 2:
            step = min(_PIECE, start)
            start -= step
            opened.seek(start)
            tail = opened.read(step) + tail
    size = start + tail.rfind(b"\n") + 1 if b"\n" in tail else 0
    lines = tail[: size - start].split(b"\n")[:-1] if size else []
    last = take_apart(lines[-1]) if lines else None
    if last is not None or not lines:
        return Ending(last, size, sound=True)
    records = (take_apart(each) for each in reversed(file.read_bytes()[:size].split(b"\n")[:-1]))
    return Ending(next((each for each in records if each is not None), None), size, sound=False)


def last_line(files: Sequence[Path], *, sync: bool = False) -> Line | None:
    """Return the last record of consecutive files, or None. `sync`: have it on disk first. Raises OSError."""
    for file in reversed(files):
        if sync:
            sync_file(file)
        if (line := ending(file).line) is not None:
            return line
    return None


def move_torn(file: Path, size: int) -> dict[str, Any] | None:
    """Move what is behind `size` into a file beside it; return what a record says of it, or None when there is nothing.

    Killed in between, it is done again: the same bytes go into the same file. Raises OSError.
    """
    with file.open("r+b") as opened:
        opened.seek(size)
        torn = opened.read()
        if not torn:
            return None
        aside = file.with_name(f"{file.stem}.torn-{size}")
        descriptor = os.open(aside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as kept:
            kept.write(torn)
            kept.flush()
            os.fsync(kept.fileno())
        sync_folder(file.parent)
        opened.truncate(size)
        os.fsync(opened.fileno())
    return {"file": file.name, "bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest(), "kept_in": aside.name}
