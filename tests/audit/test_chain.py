"""What verifying finds: any change of a log, at the right line."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.logs import KEY, entries, lines, verify, write
from gerbang_service.audit.chain import Head, Seal, link, take_apart
from gerbang_service.audit.files import log_files
from gerbang_service.audit.verdict import CHANGED, CUT, FORGED, HEAD, SEQUENCE, UNKEYED
from gerbang_service.audit.verifying import verify_files, verify_folder

RECORDS = 30


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of some thirty records in several files, sound."""
    folder = tmp_path_factory.mktemp("original") / "audit"
    write(folder, RECORDS, file_bytes=2_000)
    assert verify(folder).sound
    assert len(log_files(folder)) >= 4
    return folder


class Copy:
    """A copy of a log that may be spoiled, the only one; `lines`: (file, number, line) of all of it as it was."""

    def __init__(self, original: Path) -> None:
        self.folder = original.parent / "copy" / "audit"
        shutil.rmtree(self.folder.parent, ignore_errors=True)
        shutil.copytree(original, self.folder)
        self.lines = lines(self.folder)

    def put(self, changed: list[tuple[Path, bytes]]) -> None:
        """Write the log anew with these lines, each in its file."""
        for file in log_files(self.folder):
            file.write_bytes(b"".join(line for other, line in changed if other == file))

    def plain(self) -> list[tuple[Path, bytes]]:
        """Return the lines with their files."""
        return [(file, line) for file, _, line in self.lines]

    def first_break(self, key: bytes | None = KEY) -> tuple[str, int, str]:
        """Return file, line and kind of the first break; fail when there is none."""
        verdict = verify(self.folder, key)
        assert not verdict.sound
        found = verdict.breaks[0]
        return found.file, found.line, found.kind

    def where(self, index: int) -> tuple[str, int]:
        """Return file and line of a line as it was."""
        file, number, _ = self.lines[index]
        return str(file), number


@settings(deadline=None, max_examples=400)
@given(data=st.data())
def test_any_byte_changed_is_found_at_its_line(original: Path, data: st.DataObject) -> None:
    """Whatever byte of whatever file is made another one, the first break is in that file, at that line."""
    copy = Copy(original)
    index = data.draw(st.integers(0, len(copy.lines) - 1))
    file, _, line = copy.lines[index]
    at = data.draw(st.integers(0, len(line) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != line[at]))
    before = sum(len(each) for other, _, each in copy.lines[:index] if other == file)
    content = bytearray(file.read_bytes())
    content[before + at] = byte
    file.write_bytes(content)
    assert copy.first_break()[:2] == copy.where(index)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_lines_cut_out_are_found_where_they_were(original: Path, data: st.DataObject) -> None:
    """Lines cut out of the middle are found at the line that came to their place; of the end, at the last one left."""
    copy = Copy(original)
    first = data.draw(st.integers(0, len(copy.lines) - 1))
    count = data.draw(st.integers(1, 5))
    copy.put(copy.plain()[:first] + copy.plain()[first + count :])
    left = lines(copy.folder)
    if first < len(left):
        file, number, _ = left[first]
        assert copy.first_break() == (str(file), number, SEQUENCE)
    else:
        file, number, _ = left[-1] if left else (Path("000001.jsonl"), 0, b"")
        assert copy.first_break() == (str(file), number, CUT)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_lines_moved_or_repeated_are_found_at_the_first_that_is_wrong(original: Path, data: st.DataObject) -> None:
    """A line swapped with another, repeated, or put in elsewhere is found where the first wrong one stands."""
    copy = Copy(original)
    plain = copy.plain()
    one, other = sorted(data.draw(st.lists(st.integers(0, len(plain) - 1), min_size=2, max_size=2, unique=True)))
    if data.draw(st.booleans()):
        plain[one], plain[other] = (plain[one][0], plain[other][1]), (plain[other][0], plain[one][1])
        at = one
    else:
        source = data.draw(st.sampled_from([one, other]))
        plain.insert(other, (plain[other][0], plain[source][1]))
        # Before the line itself its copy is in the right place, and the line is the one too many.
        at = other + (source == other)
    copy.put(plain)
    file, number, _ = lines(copy.folder)[at]
    assert copy.first_break() == (str(file), number, SEQUENCE)


def test_a_whole_file_gone_is_found(original: Path) -> None:
    """A file missing in the middle is found at the next one's first line; the last, at the end of what is left."""
    for missing in (1, -1):
        copy = Copy(original)
        files = log_files(copy.folder)
        files[missing].unlink()
        if missing == 1:
            assert copy.first_break() == (str(files[2]), 1, SEQUENCE)
        else:
            assert copy.first_break() == (str(files[-2]), len(files[-2].read_bytes().splitlines()), CUT)


def test_all_files_gone_is_found(original: Path) -> None:
    """Of a log that is gone the head file is left, and tells."""
    copy = Copy(original)
    for file in log_files(copy.folder):
        file.unlink()
    assert copy.first_break()[2] == CUT


def rewritten(copy: Copy, index: int, seal: Seal) -> bytes:
    """Change a record and write it and all after it anew as a seal can; return the new hash of the last."""
    plain = copy.plain()
    before = take_apart(plain[index - 1][1][:-1])
    assert before is not None
    previous = before.digest
    for number in range(index, len(plain)):
        file, line = plain[number]
        taken = take_apart(line[:-1])
        assert taken is not None
        body = taken.body.replace(b"p-", b"q-") if number == index else taken.body
        new, previous = seal.close(body, previous)
        plain[number] = (file, new)
    copy.put(plain)
    return previous


def test_a_log_written_anew_without_the_key_is_found(original: Path) -> None:
    """Who changes a record and computes all hashes anew, but lacks the key, is found at that line."""
    copy = Copy(original)
    rewritten(copy, 12, Seal(bytes(32)))
    assert copy.first_break() == (*copy.where(12), FORGED)
    copy = Copy(original)
    rewritten(copy, 12, Seal(None))
    assert copy.first_break() == (*copy.where(12), UNKEYED)


def test_without_the_key_a_noted_head_finds_what_hashes_do_not(original: Path) -> None:
    """Without the key a log that was written anew to its end looks sound but for its head, and verifying says so."""
    copy = Copy(original)
    last = rewritten(copy, 12, Seal(bytes(32)))
    total = len(copy.lines)
    head = json.loads((copy.folder / "head").read_text())
    (copy.folder / "head").write_text(json.dumps({**head, "hash": last.hex()}))
    blind = verify(copy.folder, None)
    assert blind.sound
    assert any("without the key" in note for note in blind.notes)
    true = Head(total, bytes.fromhex(entries(original)[-1]["hash"]))
    verdict = verify_folder(copy.folder, Seal(None), [true])
    assert [each.kind for each in verdict.breaks] == [HEAD]
    assert verify_folder(copy.folder, Seal(KEY)).breaks


def test_a_cut_log_with_a_cut_head_is_found_by_a_noted_one(original: Path) -> None:
    """Who cuts the end and puts an older head file back is found by a head that was noted elsewhere."""
    copy = Copy(original)
    kept = copy.plain()[:20]
    copy.put(kept)
    last = take_apart(kept[-1][1][:-1])
    assert last is not None
    body = json.dumps({"sequence": 20, "hash": last.digest.hex(), "revision": None}, separators=(",", ":")).encode()
    (copy.folder / "head").write_bytes(body[:-1] + f',"mac":"{Seal(KEY).head_mac(body)}"}}'.encode())
    assert verify(copy.folder).sound
    noted = Head(len(copy.lines), bytes.fromhex(entries(original)[-1]["hash"]))
    assert [each.kind for each in verify_folder(copy.folder, Seal(KEY), [noted]).breaks] == [CUT]


def test_a_changed_head_file_is_found(original: Path) -> None:
    """A head file that was changed, or taken away, is a break of its own."""
    for content in (b"{}", b'{"sequence":3,"hash":"%b","revision":null,"mac":"%b"}' % (b"0" * 64, b"0" * 32), None):
        copy = Copy(original)
        if content is None:
            (copy.folder / "head").unlink()
        else:
            (copy.folder / "head").write_bytes(content)
        assert copy.first_break() == (str(copy.folder / "head"), 0, HEAD)


def test_an_archive_of_old_files_is_verified_on_its_own(original: Path) -> None:
    """Files moved away verify as a run of their own, those that stay as well, and each says what it could not see."""
    copy = Copy(original)
    files = log_files(copy.folder)
    archive = copy.folder.parent / "archive"
    archive.mkdir()
    moved = [each.rename(archive / each.name) for each in files[:2]]
    assert verify_files(moved, Seal(KEY)).sound
    rest = verify(copy.folder)
    assert rest.sound
    assert any("those before are in files not given" in note for note in rest.notes)
    assert verify_files([*moved, *log_files(copy.folder)], Seal(KEY)).sound
    changed = moved[0].read_bytes().replace(b"p-1", b"p-7", 1)
    moved[0].write_bytes(changed)
    assert verify_files(moved, Seal(KEY)).breaks[0].kind == CHANGED


def test_the_chain_is_what_is_said(original: Path) -> None:
    """An auditor with nothing but SHA-256 comes to the same hashes: of the one before, and the line up to its hash."""
    previous = bytes(32)
    for _, _, line in lines(original):
        body, _, rest = line.rpartition(b',"hash":"')
        assert hashlib.sha256(previous + body).hexdigest().encode() == rest[:64]
        assert link(previous, body).hex().encode() == rest[:64]
        previous = bytes.fromhex(rest[:64].decode())
