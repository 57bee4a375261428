"""The proof that nothing was cut from a log, changed in it, moved or put in between."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from gerbang_service.audit.chain import GENESIS, NOTHING, Head, Line, Seal, link, take_apart
from gerbang_service.audit.events import FILE, FOUND_AT_START, TOLD, WORKERS
from gerbang_service.audit.files import COMMANDS, chain_folders, is_worker, log_files, log_name, name_of, number_of
from gerbang_service.audit.head import HeadInvalid, Noted, read_head
from gerbang_service.audit.history import COMMITTED
from gerbang_service.audit.verdict import (
    CHANGED,
    CUT,
    FORGED,
    FOUND,
    HEAD,
    MISPLACED,
    SEQUENCE,
    UNKEYED,
    Break,
    Verdict,
)

Unkeyed = Mapping[str, Head]
"""Where what is of before encryption ends, by the names of logs: see `unkeyed`."""


def verify_logs(folder: Path, seal: Seal, heads: Sequence[Head] = (), unkeyed: Unkeyed | None = None) -> list[Verdict]:
    """Verify all logs of a folder: its own, and those of workers and commands up to where that says that they go.

    They may be written meanwhile. `unkeyed`: None when that is not known. Raises OSError.
    """
    workers = {each.name: each for each in chain_folders(folder) if each != folder}
    if workers.keys() == {COMMANDS} and chain_folders(folder) == [folder / COMMANDS] and not heads:
        # No server has begun a log there.
        return [verify_folder(folder / COMMANDS, seal, (), unkeyed)]
    walk = _walked(folder, seal, heads, unkeyed)
    verdicts = [walk.verdict]
    if not walk.verdict.files and any(map(is_worker, workers.values())):
        missing = "there are logs of workers, and that of their supervisor is missing"
        walk.verdict.breaks[:] = [Break(str(folder), 0, CUT, missing)]
    for name in sorted(workers.keys() | walk.workers.keys()):
        known = walk.workers.get(name, ())
        if name in workers:
            verdicts.append(verify_folder(workers[name], seal, known, unkeyed))
        else:
            whose = "of commands" if name == COMMANDS else "of a worker"
            text = f"it is missing: there was a log {whose}, up to record {max(each.sequence for each in known)}"
            verdicts.append(Verdict(str(folder / name), breaks=[Break(str(folder / name), 0, CUT, text)]))
    return verdicts


def verify_folder(folder: Path, seal: Seal, heads: Sequence[Head] = (), unkeyed: Unkeyed | None = None) -> Verdict:
    """Verify the log of a folder up to its head; may be written meanwhile. Raises OSError."""
    return _walked(folder, seal, heads, unkeyed).verdict


def _walked(folder: Path, seal: Seal, heads: Sequence[Head], unkeyed: Unkeyed | None) -> _Walk:
    verdict = Verdict(str(folder))
    noted = None
    try:
        # Before the log: what it tells of is there then, however much is written meanwhile.
        noted = read_head(folder, seal)
    except HeadInvalid as error:
        verdict.breaks.append(Break(str(folder / "head"), 0, HEAD, f"not this log's: {error}"))
    else:
        if noted is None:
            verdict.breaks.append(Break(str(folder / "head"), 0, HEAD, "it is missing: a cut end could not be told"))
    known = [*([noted.head] if noted is not None else []), *heads]
    walk = _Walk(seal, verdict, known, unkeyed, log_name(folder))
    walk.files(log_files(folder))
    if seal.keyed:
        walk.check_head_code(folder, noted)
    return walk


def verify_files(
    files: Sequence[Path], seal: Seal, heads: Sequence[Head] = (), unkeyed: Unkeyed | None = None
) -> Verdict:
    """Verify consecutive files of one log, such as an archive of old ones. Raises OSError."""
    verdict = Verdict(", ".join(dict.fromkeys(str(each.parent) for each in files)))
    _Walk(seal, verdict, heads, unkeyed).files(files)
    if not heads:
        verdict.notes.append("without a head that was noted elsewhere (--head) it can't be told whether more followed")
    return verdict


class _Walk:
    """One pass over the lines of a log. `workers`: where it says that those of workers end."""

    def __init__(
        self, seal: Seal, verdict: Verdict, heads: Collection[Head], unkeyed: Unkeyed | None, name: str | None = None
    ) -> None:
        """`name`: of the log; None for that which its first file says that it is of."""
        self._seal = seal
        self.verdict = verdict
        self.workers: dict[str, list[Head]] = {}
        self._unkeyed = unkeyed
        self._name = name
        self._heads: dict[int, list[Head]] = {}
        for each in heads:
            if each.sequence:
                self._heads.setdefault(each.sequence, []).append(each)
        self._previous = Head(0, GENESIS)
        self._begun = False
        self._keyed_lines = self._unchecked_lines = 0
        self._unlinked = self._uncoded = False

    @property
    def _of_before(self) -> Head | None:
        """Where what is of before encryption ends; None when that is not known."""
        return None if self._unkeyed is None else self._unkeyed.get(self._name or "", NOTHING)

    def files(self, files: Sequence[Path]) -> None:
        """Walk over all lines, in the order of the files."""
        verdict = self.verdict
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
        verdict = self.verdict
        verdict.records += 1
        line = take_apart(content)
        if line is None:
            self._break(file, number, CHANGED, "it is no record")
            self._previous = Head(self._previous.sequence + 1, self._previous.digest)
            # Its hash is not known, so that what follows can't be linked to it.
            self._unlinked = True
            return
        if not self._begun:
            self._begin(line, Path(file))
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

    def _begin(self, line: Line, file: Path) -> None:
        """Take up a log whose earlier files are elsewhere, with what its first line says of the one before."""
        self._begun = True
        self.verdict.first = line.sequence
        record = _event(line)
        if self._name is None:
            self._name = str(record.get("log", log_name(file.parent)))
        try:
            previous = bytes.fromhex(record["previous"]) if record.get("event") == FILE else b""
            first = int(record.get("file", 1))
        except (ValueError, KeyError, TypeError):
            return
        # Nothing comes before the first record alone, and each file's first record names its number.
        linked = len(previous) == len(GENESIS) and previous != GENESIS and first > 1 and first == number_of(file)
        if linked and line.sequence > 1:
            self._previous = Head(line.sequence - 1, previous)
            self.verdict.notes.append(f"begins with record {line.sequence}: those before are in files not given")

    def _check_key(self, line: Line, file: str, number: int) -> None:
        if line.mac is None:
            self._check_uncoded(line, file, number)
            return
        self._keyed_lines += 1
        self._uncoded = False
        if self._seal.keyed and not self._seal.vouches(line):
            self._break(file, number, FORGED, "its code is not of this key: who wrote it did not have the key")

    def _check_uncoded(self, line: Line, file: str, number: int) -> None:
        """Look whether a line without a code may be: of a run of those that may not, the first is told."""
        self._unchecked_lines += self._seal.keyed
        end = self._of_before if self._seal.keyed else None
        if self._keyed_lines:
            text = "it has no code, and lines before have: it was put there, or encryption was given up"
        elif end is not None and line.sequence > end.sequence:
            text = "it has no code, and was not there when the folder was encrypted: the key was not used"
        elif end is not None and line.sequence == end.sequence and line.digest != end.digest:
            text = "it is another than was there when the folder was encrypted: what is before was made anew"
        else:
            return
        if not self._uncoded:
            self._break(file, number, UNKEYED, text)
        self._uncoded = True

    def check_head_code(self, folder: Path, noted: Noted | None) -> None:
        """Look whether head file and log have codes of the key, or are both of before encryption, and whole."""
        end = self._of_before
        whole = end is None or self.verdict.last == end
        if noted is not None and not noted.keyed and (self._keyed_lines or not whole):
            self.verdict.breaks.append(Break(str(folder / "head"), 0, HEAD, "it has no code of the key"))
        elif end is not None and self._unchecked_lines and self._previous.sequence < end.sequence:
            text = f"ends with record {self._previous.sequence}, and there was {end.sequence} before encryption"
            self.verdict.breaks.append(Break(str(folder), 0, CUT, text))

    def _look_at(self, line: Line, file: str, number: int) -> None:
        for known in self._heads.pop(line.sequence, ()):
            if known.digest != line.digest:
                self._break(file, number, HEAD, f"record {line.sequence} is another than the head {known}")
        if b',"event":"' in line.body[:80]:
            self._tell(line, file, number)

    def _tell(self, line: Line, file: str, number: int) -> None:
        """Take up what the log itself tells that an auditor has to know."""
        record = _event(line)
        event = str(record.get("event"))
        facts = {k: v for k, v in record.items() if k not in ("sequence", "time", "event", COMMITTED)}
        shown = ", ".join(f"{key} {value}" for key, value in facts.items())
        if event == FILE and record.get("log", self._name) != self._name:
            of, due = (f"log {each}" if each else "the server's own log" for each in (record["log"], self._name))
            self._break(file, number, MISPLACED, f"it is a file of {of}, in the place of {due}")
        elif event == WORKERS and not (self._seal.keyed and not self._seal.vouches(line)):
            self._take_heads(record)
        elif event in FOUND_AT_START:
            found = f"at {record.get('time')} the server found {FOUND_AT_START[event]} {shown}"
            self._break(file, number, FOUND, found.rstrip())
        elif event in TOLD:
            self.verdict.notes.append(f"{file}:{number}: {record.get('time')}: {TOLD[event]} {shown}".rstrip())

    def _take_heads(self, record: dict[str, Any]) -> None:
        try:
            heads = {name: Head.parse(head) for name, head in record["heads"].items()}
        except (ValueError, KeyError, AttributeError):
            return  # a record that was changed, and is told to be
        for name, head in heads.items():
            if head not in (known := self.workers.setdefault(name, [])):
                known.append(head)

    def _end(self, file: str, number: int) -> None:
        verdict = self.verdict
        left = sorted(chain.from_iterable(self._heads.values()), key=lambda head: head.sequence)
        before = [each for each in left if verdict.first is not None and each.sequence < verdict.first]
        if before:
            verdict.notes.append(f"{len(before)} heads are of records before those given; not checked")
        for each in left[len(before) :]:
            if each.sequence > self._previous.sequence:
                self._break(
                    file,
                    number,
                    CUT,
                    f"ends with record {self._previous.sequence}, and there was {each.sequence}: the end was cut off",
                )
            else:
                self._break(file, number, HEAD, f"there is no record {each.sequence}, of which a head was noted")
        if self._keyed_lines and not self._seal.keyed:
            verdict.notes.append(
                "without the key (--key-file) it can't be told whether who wrote it had the key: "
                "all could have been written anew"
            )
        if self._unchecked_lines:
            known = "" if self._unkeyed is not None else ", which is recorded at the first start with the key"
            verdict.notes.append(
                f"{self._unchecked_lines} records have no code of the key: they are of before encryption{known}"
            )

    def _break(self, file: str, number: int, kind: str, text: str) -> None:
        self.verdict.breaks.append(Break(file, number, kind, text))


def _event(line: Line) -> dict[str, Any]:
    try:
        return line.record()
    except ValueError:
        return {}


def _lines(file: Path) -> Iterator[tuple[bytes, bool]]:
    """Yield the lines of a file without their ends, and whether each has one."""
    with file.open("rb") as opened:
        for line in opened:
            yield (line[:-1], True) if line.endswith(b"\n") else (line, False)
