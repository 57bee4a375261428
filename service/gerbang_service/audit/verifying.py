"""The proof that nothing was cut from a log, changed in it, moved or put in between."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from gerbang_service.audit.chain import GENESIS, Head, Line, Seal, link, take_apart
from gerbang_service.audit.files import log_files, name_of, number_of
from gerbang_service.audit.head import HeadInvalid, read_head
from gerbang_service.audit.revisions import COMMITTED

CHANGED, SEQUENCE, FORGED, CUT, UNKEYED = "changed", "sequence", "forged", "cut", "unkeyed"
HEAD, FOUND = "head", "found"
"""Kinds of breaks: see `Break`."""


@dataclass(frozen=True, slots=True)
class Break:
    """Where a log is not as it was written. `line` counts from 1; 0 for the file as a whole.

    `kind`: CHANGED, the line is not what its hash, or the chain, says; SEQUENCE, lines were cut, moved or put in before
    it; FORGED, the line was not written with the key; UNKEYED, it has no code where those before have; CUT, the end is
    missing; HEAD, the head file, or a head that was noted elsewhere, does not fit; FOUND, the server recorded at its
    start that the log was not as it had left it.
    """

    file: str
    line: int
    kind: str
    text: str


@dataclass(slots=True)
class Verdict:
    """What verifying one log found. `notes`: what could not be checked, and what the log itself tells of."""

    name: str
    first: int | None = None
    last: Head | None = None
    records: int = 0
    files: int = 0
    breaks: list[Break] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether no break was found."""
        return not self.breaks


def verify_folder(folder: Path, seal: Seal, heads: Sequence[Head] = ()) -> Verdict:
    """Verify the log of a folder up to its head; may be written meanwhile. Raises OSError."""
    verdict = Verdict(str(folder))
    try:
        # Before the log: what it tells of is there then, however much is written meanwhile.
        noted = read_head(folder, seal)
    except HeadInvalid as error:
        noted = None
        verdict.breaks.append(Break(str(folder / "head"), 0, HEAD, f"not this log's: {error}"))
    else:
        if noted is None:
            verdict.breaks.append(Break(str(folder / "head"), 0, HEAD, "it is missing: a cut end could not be told"))
    walk = _Walk(seal, verdict, [*([noted.head] if noted is not None else []), *heads])
    walk.files(log_files(folder))
    if noted is not None and seal.keyed and not noted.keyed and walk.keyed_lines:
        verdict.breaks.append(Break(str(folder / "head"), 0, HEAD, "it has no code of the key"))
    return verdict


def verify_files(files: Sequence[Path], seal: Seal, heads: Sequence[Head] = ()) -> Verdict:
    """Verify consecutive files of one log, such as an archive of old ones. Raises OSError."""
    verdict = Verdict(", ".join(dict.fromkeys(str(each.parent) for each in files)))
    _Walk(seal, verdict, heads).files(files)
    if not heads:
        verdict.notes.append("without a head that was noted elsewhere (--head) it can't be told whether more followed")
    return verdict


class _Walk:
    """One pass over the lines of a log."""

    def __init__(self, seal: Seal, verdict: Verdict, heads: Collection[Head]) -> None:
        self._seal = seal
        self._verdict = verdict
        self._heads: dict[int, list[Head]] = {}
        for each in heads:
            if each.sequence:
                self._heads.setdefault(each.sequence, []).append(each)
        self._previous = Head(0, GENESIS)
        self._begun = False
        self.keyed_lines = self._unchecked_lines = 0
        self._unlinked = False

    def files(self, files: Sequence[Path]) -> None:
        """Walk over all lines, in the order of the files."""
        verdict = self._verdict
        place = (name_of(1), 0)
        for file in files:
            verdict.files += 1
            for number, (line, whole) in enumerate(_lines(file), 1):
                place = (str(file), number)
                if whole:
                    self._line(line, *place)
                elif file != files[-1]:
                    self._break(*place, CHANGED, "it is not written to its end, and another file follows")
                else:
                    verdict.notes.append(
                        f"{file}: line {number} is not written to its end: by a kill, or it is being written"
                    )
        verdict.last = self._previous if self._begun else None
        self._end(*place)

    def _line(self, content: bytes, file: str, number: int) -> None:
        verdict = self._verdict
        verdict.records += 1
        line = take_apart(content)
        if line is None:
            self._break(file, number, CHANGED, "it is no record")
            self._previous = Head(self._previous.sequence + 1, self._previous.digest)
            # Its hash is not known, so that what follows can't be linked to it.
            self._unlinked = True
            return
        if not self._begun:
            self._begin(line, file)
        expected = self._previous.sequence + 1
        if line.sequence != expected:
            text = f"it is record {line.sequence} where {expected} is due"
            self._break(file, number, SEQUENCE, f"{text}: lines were cut, moved or put in, or this one was changed")
        elif link(self._previous.digest, line.body) != line.digest and not self._unlinked:
            self._break(file, number, CHANGED, "it does not follow from its content and the line before")
        else:
            self._check_key(line, file, number)
        self._look_at(line, file, number)
        self._previous, self._unlinked = line.head, False

    def _begin(self, line: Line, file: str) -> None:
        """Take up a log whose earlier files are elsewhere, with what its first line says of the one before."""
        self._begun = True
        self._verdict.first = line.sequence
        if line.sequence == 1:
            return
        try:
            record = line.record()
            previous = bytes.fromhex(record["previous"]) if record.get("event") == "file" else b""
            first = int(record.get("file", 1))
        except (ValueError, KeyError, TypeError):
            return
        # Nothing comes before the first record alone, and each file's first record names its number.
        if len(previous) == len(GENESIS) and previous != GENESIS and first > 1 and first == number_of(Path(file)):
            self._previous = Head(line.sequence - 1, previous)
            self._verdict.notes.append(f"begins with record {line.sequence}: those before are in files not given")

    def _check_key(self, line: Line, file: str, number: int) -> None:
        if line.mac is None:
            if self.keyed_lines:
                self._break(
                    file,
                    number,
                    UNKEYED,
                    "it has no code, and lines before have: it was put there, or encryption was given up",
                )
            self._unchecked_lines += self._seal.keyed
            return
        self.keyed_lines += 1
        if self._seal.keyed and not self._seal.vouches(line):
            self._break(file, number, FORGED, "its code is not of this key: who wrote it did not have the key")

    def _look_at(self, line: Line, file: str, number: int) -> None:
        for known in self._heads.pop(line.sequence, ()):
            if known.digest != line.digest:
                self._break(file, number, HEAD, f"record {line.sequence} is another than the head {known}")
        if b',"event":"' in line.body[:80]:
            self._tell(line, file, number)

    def _tell(self, line: Line, file: str, number: int) -> None:
        """Note what the log itself tells that an auditor has to know."""
        try:
            record = line.record()
        except ValueError:
            return
        event = str(record.get("event"))
        facts = {k: v for k, v in record.items() if k not in ("sequence", "time", "event", COMMITTED)}
        shown = ", ".join(f"{key} {value}" for key, value in facts.items())
        if event in _FOUND:
            self._break(
                file, number, FOUND, f"at {record.get('time')} the server found {_FOUND[event]} {shown}".rstrip()
            )
        elif event in _TOLD:
            self._verdict.notes.append(f"{file}:{number}: {record.get('time')}: {_TOLD[event]} {shown}".rstrip())

    def _end(self, file: str, number: int) -> None:
        verdict = self._verdict
        for each in sorted(chain.from_iterable(self._heads.values()), key=lambda head: head.sequence):
            if verdict.first is not None and each.sequence < verdict.first:
                verdict.notes.append(f"head {each.sequence} is of a record before those given; not checked")
            elif each.sequence > self._previous.sequence:
                self._break(
                    file,
                    number,
                    CUT,
                    f"ends with record {self._previous.sequence}, and there was {each.sequence}: the end was cut off",
                )
            else:
                self._break(file, number, HEAD, f"there is no record {each.sequence}, of which a head was noted")
        if self.keyed_lines and not self._seal.keyed:
            verdict.notes.append(
                "without the key (--key-file) it can't be told whether who wrote it had the key: "
                "all could have been written anew"
            )
        if self._unchecked_lines:
            verdict.notes.append(
                f"{self._unchecked_lines} records have no code of the key: they are of before encryption"
            )

    def _break(self, file: str, number: int, kind: str, text: str) -> None:
        self._verdict.breaks.append(Break(file, number, kind, text))


_TOLD = {
    "begun": "the log was begun when changes had been made already, of which it has no record:",
    "torn_line": "a kill left a line unfinished, which was moved aside:",
    "key_begun": "the log has a key from here on",
    "without_record": "changes without a record, by a kill between the two, or because it was cut off with its head:",
    "store_behind": "the database was older than the log, as after a restore:",
    "resumed": "the log could not be written for a time:",
}


_FOUND = {
    "records_missing": "that records were missing:",
    "head_missing": "no head file",
    "head_invalid": "a head file that was not the log's",
    "unreadable": "lines that are no records:",
    "other_key": "records of another key",
}


def _lines(file: Path) -> Iterator[tuple[bytes, bool]]:
    """Yield the lines of a file without their ends, and whether each has one."""
    with file.open("rb") as opened:
        for line in opened:
            yield (line[:-1], True) if line.endswith(b"\n") else (line, False)
