"""What `gerbang doctor` finds out of the machine: memory, containers, the clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from gerbang_service.cli.doctor.finding import Level
from gerbang_service.cli.doctor.machine import check_machine, is_synchronised, memory_limit
from gerbang_service.settings import Settings


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


def test_whether_the_clock_is_kept_can_be_asked() -> None:
    """The kernel tells, or can't be asked; nothing raises."""
    assert is_synchronised() in (True, False, None)
