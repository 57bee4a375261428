"""Which changes of the gallery have a record: what is looked for after a kill between a commit and its record."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gerbang_service.audit.files import chain_folders, log_files

COMMITTED = "committed"
"""The field of a record that tells the revision of the change that was made."""

# Quotation marks in a string are written \", so this is nowhere but where the field is.
_COMMITTED = re.compile(rb'"committed":(\d+)')
_BEGINS_AT = re.compile(rb'\{"sequence":\d+,"time":"[^"]*","event":"file",[^\n]*?"revision":(\d+)')
# Changes are recorded in about their order: a file that began so many revisions later has no earlier one.
_OUT_OF_ORDER = 10_000


class Recorded:
    """Up to which revision every change is recorded. Not thread-safe; reading `upto` is.

    With several processes it stays where it was begun: no one of them knows of the others' records.
    """

    def __init__(self, upto: int | None, *, advances: bool) -> None:
        self.upto = upto
        self._advances = advances
        self._beyond: set[int] = set()

    def begin(self, revision: int) -> None:
        """Begin with a revision up to which all is settled."""
        self.upto = revision
        self._beyond.clear()

    def add(self, revision: int) -> None:
        """Count the record of a change; they come in any order."""
        if self.upto is None or not self._advances or revision <= self.upto:
            return
        self._beyond.add(revision)
        while self.upto + 1 in self._beyond:
            self.upto += 1
            self._beyond.remove(self.upto)


def without_record(folder: Path, after: int, upto: int) -> list[tuple[int, int]]:
    """Return the revisions from `after` + 1 to `upto` of which no log in a folder has a record, as (first, last).

    Reads the newest files of each, as far back as they may have one of them: half a second for 100 MB. Raises OSError.
    """
    if upto <= after:
        return []
    recorded: set[int] = set()
    for each in chain_folders(folder):
        recorded.update(_in_chain(each, after))
    missing = [revision for revision in range(after + 1, upto + 1) if revision not in recorded]
    return list(_ranges(missing))


def _in_chain(folder: Path, after: int) -> Iterator[int]:
    for file in reversed(log_files(folder)):
        content = file.read_bytes()
        yield from (revision for each in _COMMITTED.finditer(content) if (revision := int(each[1])) > after)
        begins = _BEGINS_AT.match(content)
        if begins is not None and int(begins[1]) < after - _OUT_OF_ORDER:
            return


def _ranges(numbers: list[int]) -> Iterator[tuple[int, int]]:
    first = last = None
    for each in numbers:
        if last is not None and each == last + 1:
            last = each
            continue
        if first is not None and last is not None:
            yield first, last
        first = last = each
    if first is not None and last is not None:
        yield first, last
