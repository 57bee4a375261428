"""A server erases who has expired: gone from its answers and its files, counted, and on record."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from access.pki import gerbang_command, until
from gerbang import SubjectNotFound, WatchlistClient
from running import RunningServer
from store.people import TEMPLATES, bytes_of, enrol, secret, traces, unit

# A second or so.
KEPT = ("--expired-kept-days", "0.00001")


def there(office: WatchlistClient, subject_id: str) -> bool:
    try:
        office.get_subject(subject_id)
    except SubjectNotFound:
        return False
    return True


def test_expired_people_are_erased_and_recorded(tmp_path: Path) -> None:
    """With who has no end, or a later one, left as they are."""
    data = tmp_path / "data"
    with RunningServer(data, *TEMPLATES, *KEPT) as running, WatchlistClient(running.address) as office:
        office.create_watchlist("cegah", title="Exit ban")
        enrol(office, 1)
        soon = datetime.now(UTC) + timedelta(seconds=0.5)
        for seed in (2, 3):
            office.enroll(
                f"person-{seed}", [unit(seed)], watchlists=["cegah"], expire_time=soon, labels={"case": secret(seed)}
            )
        office.enroll("person-4", [unit(4)], watchlists=["cegah"], expire_time=soon + timedelta(days=1))
        assert until(lambda: not there(office, "person-2") and not there(office, "person-3"), 20)
        assert there(office, "person-1")
        assert there(office, "person-4")
    assert not traces(data, *bytes_of(2), *bytes_of(3))
    shown = gerbang_command("audit", "show", "--data", str(data), "--subject", "person-2", "--json").splitlines()
    records = [each for each in map(json.loads, shown) if each.get("event") == "expired_erased"]
    assert len(records) == 1
    assert records[0]["answered"] == {"subject_id": "person-2"}
    assert records[0]["committed"] > 4
    assert "kept for 1e-05 days" in records[0]["reason"]
    gerbang_command("audit", "verify", "--data", str(data))
    gerbang_command("check", "--data", str(data))
