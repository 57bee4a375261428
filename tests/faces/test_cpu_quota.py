"""The number of processors follows the cgroup's quota, wherever in the tree it is set."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gerbang_service.threads.cpu_quota import cpu_quota

NESTED = "0::/kubepods.slice/pod1/container2"


def tree(root: Path, membership: str, files: dict[str, str]) -> Path:
    """Write what the kernel would show: the process's cgroups, and files below /sys/fs/cgroup."""
    contents = {"proc/self/cgroup": membership + "\n"} | {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    for name, text in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture(autouse=True)
def _many_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of 64 processors, whatever this one has."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        pytest.param("0::/", {"cpu.max": "200000 100000\n"}, 2, id="a container's own quota"),
        pytest.param("0::/", {"cpu.max": "150000 100000\n"}, 2, id="a part of a processor counts as one"),
        pytest.param("0::/", {"cpu.max": "1000 100000\n"}, 1, id="never less than one"),
        pytest.param("0::/", {"cpu.max": "max 100000\n"}, 64, id="no quota"),
        pytest.param("0::/", {}, 64, id="the root cgroup has no such file"),
        pytest.param(NESTED, {"kubepods.slice/pod1/container2/cpu.max": "300000 100000"}, 3, id="set on itself"),
        pytest.param(
            NESTED,
            {"kubepods.slice/pod1/container2/cpu.max": "max 100000", "kubepods.slice/pod1/cpu.max": "400000 100000"},
            4,
            id="set on a parent",
        ),
        pytest.param(
            NESTED,
            {"kubepods.slice/pod1/container2/cpu.max": "800000 100000", "kubepods.slice/cpu.max": "500000 100000"},
            5,
            id="the tightest counts",
        ),
        pytest.param("0::/docker/abc", {"cpu.max": "200000 100000"}, 2, id="the path is the host's, the mount is not"),
        pytest.param("0::/../../other", {"cpu.max": "200000 100000"}, 2, id="a path out of the namespace"),
        pytest.param("0::/a:b", {"a:b/cpu.max": "200000 100000"}, 2, id="a colon in the path"),
        pytest.param("0::/", {"cpu.max": "nonsense"}, 64, id="what can't be read sets no limit"),
        pytest.param(
            "5:cpuacct,cpu:/a\n4:cpuset:/b\n0::/",
            {"cpu/a/cpu.cfs_quota_us": "350000", "cpu/a/cpu.cfs_period_us": "100000"},
            4,
            id="version 1",
        ),
        pytest.param(
            "5:cpu:/a", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, 64, id="version 1, none"
        ),
        pytest.param("1:cpu:/\n0::/x", {"unified/x/cpu.max": "700000 100000"}, 7, id="both versions at once"),
    ],
)
def test_quota_of_the_cgroups(tmp_path: Path, membership: str, files: dict[str, str], expected: int) -> None:
    """The tightest quota of the process's cgroup and those around it, rounded up."""
    assert cpu_quota(tree(tmp_path, membership, files)) == expected


def test_affinity_is_a_limit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process bound to two processors has two, whatever its quota."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 9})
    assert cpu_quota(tree(tmp_path, "0::/", {"cpu.max": "800000 100000"})) == 2


def test_without_cgroups_all_processors_count(tmp_path: Path) -> None:
    """A system without cgroups has no quota."""
    assert cpu_quota(tmp_path) == 64
