"""The disk is full in the middle of `gerbang enroll FOLDER`: it tells what was kept; run again, it does the rest."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from disk.faults import FaultyDisk
from forked import run_gerbang
from gerbang import WatchlistClient
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.upload import STOPS_AFTER
from pictures import photo
from running import RunningServer, health_stub

# A dozen are kept, and after a hundred more the command stops.
PEOPLE = 150
BALLAST = 8_000_000
SERVING = HealthCheckResponse.SERVING


@dataclass
class Room:
    """A data folder on a disk that gets full soon, and how room is made on it."""

    data: Path
    env: dict[str, str]
    fill: Callable[[], object]
    make_room: Callable[[], object]
    audit: Path


@pytest.fixture(params=["failing library", "small file system", "with the audit log"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    """A disk that gets full, by a library in the way and by a real small file system."""
    if request.param == "failing library":
        disk = FaultyDisk(tmp_path / "data")
        yield Room(tmp_path / "data", disk.env, lambda: disk.set(space=400_000), disk.mend, tmp_path / "audit")
        return
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={BALLAST + 900_000}", "gerbang-test", str(small)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a file system here")
    ballast = small / "ballast"
    audit = (small if request.param == "with the audit log" else tmp_path) / "audit"
    try:
        yield Room(small / "data", {}, lambda: ballast.write_bytes(bytes(BALLAST)), ballast.unlink, audit)
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)  # noqa: S607


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a folder of one photo for each person."""
    made = tmp_path_factory.mktemp("people")
    for number in range(PEOPLE):
        (made / f"P{number:03}").mkdir()
        # A few faces will do: what is on the disk counts, not who they are.
        content = photo(number % 8, 1 + number // 8 % 4)
        (made / f"P{number:03}" / "1.jpg").write_bytes(content)
    return made


def enroll(address: str, folder: Path) -> tuple[int, dict[str, Any]]:
    """Run `gerbang enroll`; return its exit code and what it printed."""
    done = run_gerbang("enroll", folder, "--server", address, "--json", env=os.environ)
    content: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, content


def stored(running: RunningServer) -> dict[str, int]:
    """Return how many templates each subject has."""
    with WatchlistClient(running.address) as office:
        return {each.subject_id: len(each.templates) for each in office.list_subjects(page_size=1000)}


def wait_until_changes_are_taken(address: str) -> None:
    """Wait for health to say so: the server tries by itself whether its disks have room again, twice a second."""
    with grpc.insecure_channel(address) as channel:
        end = time.monotonic() + 5
        while health_stub(channel).Check(HealthCheckRequest(service="gerbang.writes")).status != SERVING:
            assert time.monotonic() < end, "waited too long"
            time.sleep(0.05)


def test_full_disk_in_the_middle_of_a_bulk_enrolment(room: Room, folder: Path) -> None:
    """The client learns exactly which were kept, and the same command finishes the rest, nobody twice."""
    options = ("--pack", "stand-in", "--audit-folder", str(room.audit))
    with RunningServer(room.data, *options, env=room.env) as running:
        room.fill()
        code, first = enroll(running.address, folder)
        assert code == ExitCode.ERROR
        assert not first["finished"]
        kept = {each["subject_id"] for each in first["results"] if each["outcome"] == "enrolled"}
        not_done = [each for each in first["results"] if each["outcome"] == "not_done"]
        assert len(kept) == first["counts"]["enrolled"] > 0
        assert {each["reason"] for each in not_done} <= {"STORE_UNAVAILABLE", "AUDIT_UNAVAILABLE"}
        unrecorded = {each["subject_id"] for each in not_done if each["reason"] == "AUDIT_UNAVAILABLE"}
        there = set(stored(running))
        # What could be done and not be recorded was not acknowledged, and may be there.
        assert kept <= there <= kept | unrecorded
        # It does not go on to the end when nothing is kept any more.
        assert STOPS_AFTER <= len(not_done) < PEOPLE - len(kept)

        room.make_room()
        wait_until_changes_are_taken(running.address)
        code, second = enroll(running.address, folder)
        assert code == ExitCode.YES
        assert second["finished"]
        assert second["counts"]["already_there"] == len(there)
        assert second["counts"]["enrolled"] == PEOPLE - len(there)
        assert stored(running) == {f"P{number:03}": 1 for number in range(PEOPLE)}
        running.kill()
    with RunningServer(room.data, *options, env=room.env) as running:
        assert stored(running) == {f"P{number:03}": 1 for number in range(PEOPLE)}
