"""What a crash leaves behind, and that it is never taken for tampering, nor tampering for a crash."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.logs import KEY, entries, lines, open_log, verify, write
from gerbang_service.audit.files import log_files
from gerbang_service.audit.log import AuditLog
from gerbang_service.audit.unkeyed import unkeyed_heads
from gerbang_service.audit.verdict import FOUND
from gerbang_service.domain.errors import StartupError


def events(folder: Path) -> list[str]:
    """Return what the log tells of the server, but for beginnings of files."""
    return [each["event"] for each in entries(folder) if each.get("event", "file") != "file"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A log as it is while it is written: its head file says less than there is; and how many bytes the head covers."""
    folder = tmp_path_factory.mktemp("running") / "audit"
    write(folder, 5)
    head = (folder / "head").read_bytes()
    covered = (folder / "000001.jsonl").stat().st_size
    write(folder, 5)
    (folder / "head").write_bytes(head)
    return folder, covered


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_kill_at_any_byte_is_no_break_and_a_cut_is(running: tuple[Path, int], data: st.DataObject) -> None:
    """Ended at any byte behind its head, the log goes on and is sound; ended before it, the loss stays to be seen."""
    original, covered = running
    folder = original.parent / "copy" / "audit"
    shutil.rmtree(folder.parent, ignore_errors=True)
    shutil.copytree(original, folder)
    file = folder / "000001.jsonl"
    content = file.read_bytes()
    size = data.draw(st.integers(0, len(content)))
    file.write_bytes(content[:size])
    whole = content.rfind(b"\n", 0, size) + 1
    with open_log(folder, key=KEY):
        pass
    torn = [each for each in entries(folder) if each.get("event") == "torn_line"]
    assert [each["bytes"] for each in torn] == ([size - whole] if size > whole else [])
    for each in torn:
        assert (folder / each["kept_in"]).read_bytes() == content[whole:size]
    verdict = verify(folder)
    assert verdict.sound == (size >= covered)
    assert ("records_missing" in events(folder)) == (whole < covered)
    if whole < covered:
        # The break is where the log goes on, and no restart heals it.
        with open_log(folder, key=KEY):
            pass
        assert verify(folder).breaks[0].line == content[:whole].count(b"\n") + 1


def test_a_kill_between_two_files_is_no_break(tmp_path: Path) -> None:
    """A file that was begun, and nothing written into it, or half a line, is gone over."""
    for left in (b"", b'{"sequence":7,"ti'):
        folder = tmp_path / str(len(left))
        write(folder, 3)
        (folder / "000002.jsonl").write_bytes(left)
        with open_log(folder, key=KEY):
            pass
        verdict = verify(folder)
        assert verdict.sound, verdict.breaks
        assert events(folder) == (["torn_line"] if left else [])


def test_a_log_goes_on_over_restarts_and_files(tmp_path: Path) -> None:
    """Stopped and opened again, the chain goes on in the same file, or the next when that is full."""
    for _ in range(3):
        write(tmp_path / "audit", 8, file_bytes=1_000)
    verdict = verify(tmp_path / "audit")
    assert verdict.sound
    assert len(log_files(tmp_path / "audit")) > 5
    assert [each["sequence"] for each in entries(tmp_path / "audit")] == list(range(1, verdict.records + 1))
    assert sum("asked" in each for each in entries(tmp_path / "audit")) == 24


def test_a_line_that_is_no_record_is_not_gone_over(tmp_path: Path) -> None:
    """A last line that somebody spoiled is left as it is, told, and found by verifying for ever."""
    folder = tmp_path / "audit"
    write(folder, 3)
    file = folder / "000001.jsonl"
    file.write_bytes(file.read_bytes()[:-30] + b"X" * 29 + b"\n")
    number = len(lines(folder))
    with open_log(folder, key=KEY):
        pass
    assert "unreadable" in events(folder)
    found = verify(folder).breaks[0]
    assert (found.file, found.line) == (str(file), number)


def test_a_head_that_is_gone_is_told(tmp_path: Path) -> None:
    """A log without its head file is none that a crash left: it is recorded that it was missing."""
    folder = tmp_path / "audit"
    write(folder, 3)
    (folder / "head").unlink()
    with open_log(folder, key=KEY):
        pass
    assert events(folder) == ["head_missing"]
    assert [each.kind for each in verify(folder).breaks] == [FOUND]


def test_a_log_may_come_to_a_key(tmp_path: Path) -> None:
    """When a folder is encrypted later, its log goes on with a key, is sound, and says from where on."""
    folder = tmp_path / "audit"
    write(folder, 3, key=None)
    assert verify(folder, None).sound
    write(folder, 3, unkeyed=unkeyed_heads(folder)[""])
    assert "key_begun" in events(folder)
    verdict = verify(folder)
    assert verdict.sound, verdict.breaks
    assert any("of before encryption" in note for note in verdict.notes)
    write(folder, 1)
    assert events(folder) == ["key_begun"]


def test_a_log_belongs_to_one_process(tmp_path: Path) -> None:
    """A folder that another process writes is refused."""
    with open_log(tmp_path / "audit", key=KEY), pytest.raises(StartupError, match="in use by another process"):
        AuditLog(tmp_path / "audit", key=KEY)


def test_a_log_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Folder 0700, files 0600, whatever the umask."""
    folder = tmp_path / "audit"
    write(folder, 2)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {0o600}
