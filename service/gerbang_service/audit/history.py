"""Which changes of the gallery have a record: what is looked for after a kill between a commit and its record."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gerbang_service.audit.events import STORE_BEHIND
from gerbang_service.audit.files import chain_folders, log_files, number_of

COMMITTED = "committed"
"""The field of a record that tells the revision of the change that was made."""

# Quotation marks in a string are written \", so these are nowhere but where the fields are.
_COMMITTED = re.compile(rb'"committed":(\d+)')
_BEHIND = b'"event":"%b"' % STORE_BEHIND.encode()
# What a file says of those before: that none has a record of a higher revision. Files that don't name their log were
# written when that was not always so.
_BEGINS_AT = re.compile(rb'\{"sequence":\d+,"time":"[^"]*","event":"file",[^\n]*?"log":[^\n]*?"revision":(\d+)')


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


@dataclass(slots=True)
class History:
    """What the newest files of all logs tell of changes.

    `recorded`: revisions that have a record; `highest`: none that counts has one of a higher; `archived`: records of
    those up to it may be in files that are elsewhere.
    """

    recorded: set[int] = field(default_factory=set)
    highest: int = 0
    archived: int = 0

    def missing(self, after: int, upto: int) -> list[tuple[int, int]]:
        """Return the revisions from `after` + 1 to `upto` that have no record, as (first, last)."""
        sought = range(max(after, self.archived) + 1, upto + 1)
        return list(_ranges(revision for revision in sought if revision not in self.recorded))


def history(folder: Path, after: int | None) -> History:
    """Read back how far the logs of a folder may have records of revisions above `after`, half a second for 100 MB.

    None: as far as it takes to know the highest. Raises OSError.
    """
    found = History(highest=after or 0)
    for each in chain_folders(folder):
        _read_back(each, after, found)
    found.highest = max((found.highest, *found.recorded))
    return found


def _read_back(folder: Path, after: int | None, found: History) -> None:
    files = log_files(folder)
    begins = None
    for file in reversed(files):
        content = file.read_bytes()
        # What is before the last of these was undone: the same revisions were given again.
        behind = max(content.rfind(_BEHIND), 0)
        revisions = (int(each[1]) for each in _COMMITTED.finditer(content, behind))
        found.recorded.update(revision for revision in revisions if revision > (after or 0))
        begins = _BEGINS_AT.match(content)
        if behind:
            return
        if begins is not None:
            found.highest = max(found.highest, int(begins[1]))
            if after is None or int(begins[1]) <= after:
                return
    if begins is not None and number_of(files[0]) > 1:
        found.archived = max(found.archived, int(begins[1]))


def _ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
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
