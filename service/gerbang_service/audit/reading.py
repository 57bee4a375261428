"""Reading records back: in order of time over all logs of a folder, filtered, and followed as they are written."""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gerbang_service.audit.files import chain_folders, log_files, number_of

Record = dict[str, Any]

# How often what is followed is looked at, seconds.
_LOOKED_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records are wanted: those of which all holds that is said.

    `since`, `until`: times as records have them, from the one on and before the other; `hits`: only answers that found
    or matched somebody; `failures`: only calls that failed or were refused.
    """

    since: str = ""
    until: str = ""
    identity: str = ""
    role: str = ""
    rpc: str = ""
    subject: str = ""
    watchlist: str = ""
    request_id: str = ""
    hits: bool = False
    failures: bool = False

    def takes(self, record: Record) -> bool:
        """Tell whether a record is wanted."""
        moment = str(record.get("time", ""))
        if moment < self.since or (self.until and moment >= self.until):
            return False
        for name in ("identity", "role", "rpc", "request_id"):
            wanted = getattr(self, name)
            if wanted and record.get(name) != wanted:
                return False
        if self.subject and self.subject not in subjects(record):
            return False
        if self.watchlist and self.watchlist not in watchlists(record):
            return False
        if self.hits and not is_hit(record):
            return False
        return not self.failures or "failed" in record


def is_hit(record: Record) -> bool:
    """Tell whether somebody was found, silently or not, or matched who was claimed."""
    answered = record.get("answered") or {}
    silent = answered.get("decision") == "silent_hit"
    return bool(answered.get("hit") or answered.get("match") or silent)


def subjects(record: Record) -> set[str]:
    """Return the ids of everybody whom a record is about."""
    asked, answered = record.get("asked") or {}, record.get("answered") or {}
    named = {str(each["subject_id"]) for each in (asked, answered, *_candidates(answered)) if "subject_id" in each}
    return named.union(answered.get("subjects", ()))


def watchlists(record: Record) -> set[str]:
    """Return the ids of all lists that a record is about."""
    asked, answered = record.get("asked") or {}, record.get("answered") or {}
    named = {each for found in (asked, answered, *_candidates(answered)) for each in found.get("watchlists", ())}
    return named.union(str(asked[name]) for name in ("watchlist", "watchlist_id") if name in asked)


def _candidates(answered: Record) -> list[Record]:
    return [*answered.get("candidates", ()), *answered.get("duplicates", ())]


def records(folder: Path, wanted: Filter, *, follow: bool = False) -> Iterator[Record]:
    """Yield the wanted records of all logs in a folder, by time; with `follow` also those to come, for ever.

    Lines that are no records are left out: `verifying` is for those. Raises OSError.
    """
    tails = {each: _Tail(each) for each in chain_folders(folder)}
    yield from _merged([tail.read() for tail in tails.values()], wanted)
    while follow:
        time.sleep(_LOOKED_EVERY_S)
        for each in chain_folders(folder):
            tails.setdefault(each, _Tail(each))
        yield from _merged([tail.read() for tail in tails.values()], wanted)


def records_of(files: Sequence[Path], wanted: Filter) -> Iterator[Record]:
    """Yield the wanted records of some files, by time. Raises OSError."""
    return _merged([_lines(each) for each in files], wanted)


def _merged(logs: Iterable[Iterator[Record]], wanted: Filter) -> Iterator[Record]:
    merged = heapq.merge(*logs, key=lambda record: str(record.get("time", "")))
    return (record for record in merged if wanted.takes(record))


def _lines(file: Path) -> Iterator[Record]:
    with file.open("rb") as opened:
        for line in opened:
            if (record := _record(line)) is not None:
                yield record


def _record(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


class _Tail:
    """One log, read on from where it was read to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._offset = 0

    def read(self) -> Iterator[Record]:
        """Yield the records that came since, whole lines only."""
        for file in log_files(self._folder):
            if number_of(file) < self._number:
                continue
            if number_of(file) > self._number:
                self._number, self._offset = number_of(file), 0
            with file.open("rb") as opened:
                opened.seek(self._offset)
                for line in opened:
                    if not line.endswith(b"\n"):
                        break
                    self._offset += len(line)
                    if (record := _record(line)) is not None:
                        yield record
