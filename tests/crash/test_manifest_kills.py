"""A manifest whose command is killed in the middle, twice: repeated, each row is enrolled exactly once."""

from __future__ import annotations

import uuid
from pathlib import Path

from crash.manifest import Command, make_lists, make_manifest, on_lists, outcomes_of, wanted
from running import RunningServer


def test_each_row_exactly_once(server: RunningServer, tmp_path: Path) -> None:
    tag = f"{uuid.uuid4().hex[:8]}-"
    make_lists(server.address, tag)
    manifest = make_manifest(tmp_path, 120, tag)
    for count in (10, 60):
        command = Command.begin(server.address, "enroll", "--manifest", manifest)
        while len(on_lists(server.address, tag)) < count and command.process.poll() is None:
            pass
        command.process.kill()
        command.end(30)
    code, said = Command.begin(server.address, "enroll", "--manifest", manifest).end(60)
    assert code == 0, said
    assert set(outcomes_of(tmp_path / "people.results.csv")) <= {"enrolled", "already"}
    assert on_lists(server.address, tag) == wanted(manifest)
