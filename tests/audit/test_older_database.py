"""A database that lacks changes which the audit log has: refused, unless that is accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.logs import entries
from crash.processes import kill_family
from crash.templates import TEMPLATES, samples_of
from gerbang import WatchlistClient
from gerbang_service.audit.files import chain_folders
from running import RunningServer, StartRefused

PEOPLE = 5
_LOG_HEADER, _FRAME = 32, 24 + 8192


def enrolled_and_killed(data: Path, *options: str) -> None:
    """Enrol people, and kill the server: what they are in is SQLite's write-ahead log."""
    with RunningServer(data, *TEMPLATES, *options) as running, WatchlistClient(running.address) as office:
        for number in range(PEOPLE):
            assert office.enroll(f"p-{number}", samples_of(number)).revision == number + 1
        # Workers as well: when only the supervisor is gone they end in order, and leave no log.
        kill_family(running.process)


def flip_a_bit(data: Path) -> None:
    """Change one bit of the write-ahead log, in its middle: SQLite silently drops what is from there on."""
    log = data / "gerbang.sqlite3-wal"
    content = bytearray(log.read_bytes())
    frames = (len(content) - _LOG_HEADER) // _FRAME
    content[_LOG_HEADER + frames // 2 * _FRAME + 4000] ^= 1
    log.write_bytes(content)


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_a_flipped_bit_does_not_take_acknowledged_changes_away(data: Path, options: tuple[str, ...]) -> None:
    """What SQLite drops is missed; the start is refused with both revisions and the ways out, which then work."""
    enrolled_and_killed(data, *options)
    flip_a_bit(data)
    for _ in range(2):
        with pytest.raises(StartRefused) as refused:
            RunningServer(data, *TEMPLATES, *options)
        said = refused.value.stderr
        assert refused.value.returncode == 3
        assert "Traceback" not in said
        assert f"the audit log has records of changes up to {PEOPLE}" in said
        for part in ("acknowledged changes are missing", "Restore a backup", "--accept-older-database"):
            assert part in said
    with RunningServer(data, *TEMPLATES, *options, "--accept-older-database") as running:
        assert "CRITICAL" in running.stderr
        assert "That is accepted" in running.stderr
        with WatchlistClient(running.address) as office:
            revision = office.server_info().revision
            assert revision < PEOPLE
            office.enroll("again", samples_of(9))
    with RunningServer(data, *TEMPLATES, *options):
        pass
    events = [each for each in entries(data / "audit") if each.get("event") in ("store_behind", "without_record")]
    assert [(each["event"], each["revision"], each["recorded"]) for each in events] == [
        ("store_behind", revision, PEOPLE)
    ]
    assert all(log.name in ("audit", "worker-0", "worker-1") for log in chain_folders(data / "audit"))


def test_accepting_for_no_reason_is_told(data: Path) -> None:
    """Left set, it would accept the next loss: each start with it says so."""
    with RunningServer(data, *TEMPLATES, "--accept-older-database") as running:
        assert "take it away" in running.stderr
    assert "store_behind" not in {each.get("event") for each in entries(data / "audit")}
