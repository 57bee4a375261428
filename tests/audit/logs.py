"""Logs for tests: written by the real writer, and taken apart line by line."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gerbang_service.audit.chain import Seal
from gerbang_service.audit.files import log_files
from gerbang_service.audit.log import AuditLog
from gerbang_service.audit.verdict import Verdict
from gerbang_service.audit.verifying import verify_folder

KEY = bytes(range(32))


@contextmanager
def open_log(folder: Path, **options: Any) -> Iterator[AuditLog]:
    """Open a log, and stop it in the end."""
    audit = AuditLog(folder, **options)
    try:
        yield audit
    finally:
        audit.stop()


def write(folder: Path, count: int, *, key: bytes | None = KEY, file_bytes: int = 64_000_000, **options: Any) -> None:
    """Write a log of so many records, each durable before the next, so that new files are begun as soon as can be."""
    with open_log(folder, key=key, file_bytes=file_bytes, **options) as audit:
        audit.checked(0)
        for number in range(count):
            record = {"rpc": "Enroll", "committed": number + 1, "asked": {"subject_id": f"p-{number}"}}
            audit.write(json.dumps(record, separators=(",", ":")).encode(), number + 1).result(10)


def lines(folder: Path) -> list[tuple[Path, int, bytes]]:
    """Return all lines of a log: file, number from 1, and the line with its end."""
    return [
        (file, number, line)
        for file in log_files(folder)
        for number, line in enumerate(file.read_bytes().splitlines(keepends=True), 1)
    ]


def entries(folder: Path) -> list[dict[str, Any]]:
    """Return all records of a log, but for lines that are none."""
    found = []
    for _, _, line in lines(folder):
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def verify(folder: Path, key: bytes | None = KEY) -> Verdict:
    """Verify a log."""
    return verify_folder(folder, Seal(key))


def wait_for(condition: Any, seconds: float = 10.0) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)
