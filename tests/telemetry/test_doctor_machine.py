"""What `gerbang doctor` finds out of the machine: memory, containers, the clock."""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gerbang_service.cli.doctor.finding import Level
from gerbang_service.cli.doctor.machine import check_clock, check_machine, is_synchronised, memory_limit
from gerbang_service.configuration.settings import Settings


def test_memory_is_compared_with_the_gallery(data: Path) -> None:
    """So many people do not fit into any machine; the gallery of a test fits into this one."""
    settings = Settings(data=data, pack="none", workers=2)
    too_many = {each.area: each.level for each in check_machine(settings, 10**10, 512)}
    few = {each.area: each.level for each in check_machine(settings, 1000, 512)}
    assert (too_many["memory"], few["memory"]) == (Level.FAIL, Level.OK)


@pytest.mark.parametrize(
    ("membership", "file"),
    [
        ("0::/gate/server", "sys/fs/cgroup/gate/memory.max"),
        ("0::/gate/server", "sys/fs/cgroup/memory.max"),
        ("5:cpu:/\n4:memory:/gate", "sys/fs/cgroup/memory/gate/memory.limit_in_bytes"),
    ],
)
def test_a_container_has_what_its_cgroups_allow(tmp_path: Path, membership: str, file: str) -> None:
    """The tightest limit of both versions, of the group itself and those around it; 'max' is none."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:       16000000 kB\nMemFree: 1 kB\n")
    (tmp_path / "proc/self/cgroup").write_text(membership + "\n")
    assert memory_limit(tmp_path) == 16000000 * 1024
    limit = tmp_path / file
    limit.parent.mkdir(parents=True)
    limit.write_text("max\n")
    assert memory_limit(tmp_path) == 16000000 * 1024
    limit.write_text("1073741824\n")
    assert memory_limit(tmp_path) == 2**30


@pytest.mark.parametrize(("status", "kept"), [(0, True), (0x0001 | 0x2000, True), (0x0040, False), (0x2041, False)])
def test_whether_the_clock_is_kept_is_read_from_its_status(
    *, status: int, kept: bool, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STA_UNSYNC of adjtimex(2) alone decides, and the doctor says so."""

    def adjtimex(buffer: Any) -> int:
        buffer._obj[5] = status
        return 5 if status & 0x0040 else 0

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(adjtimex=adjtimex))
    assert is_synchronised() is kept
    last = list(check_clock(Settings(data=data, pack="none")))[-1]
    assert (last.area, last.level) == ("clock", Level.OK if kept else Level.WARNING)


def refused(_: object) -> int:
    """Refuse, as under seccomp."""
    return -1


@pytest.mark.parametrize("library", [SimpleNamespace(adjtimex=refused), SimpleNamespace()], ids=["refused", "missing"])
def test_where_the_clock_can_not_be_asked_nothing_is_said_of_it(
    library: object, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is refused, or the system has none."""
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: library)
    assert is_synchronised() is None
    assert not [each for each in check_clock(Settings(data=data, pack="none")) if "synchronise" in each.text]
