"""A proposal outlives a kill, and ends by itself when nobody confirms it in time: on record, and nothing is changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from access.pki import GuardedServer, Pki, gerbang_command, until
from gerbang import SecondPersonNeeded, WatchlistClient
from rpc.wire import template


def test_a_proposal_is_durable_and_ends(tmp_path: Path, shared_pki: Pki) -> None:
    data, boss = tmp_path / "data", shared_pki.credentials("admin")
    # A second or so, of which the server is down for a part.
    short = ("--proposals-kept-days", "0.00002")
    with GuardedServer(data, shared_pki) as server, WatchlistClient(server.address, credentials=boss) as office:
        office.create_watchlist("two", two_person_removal=True)
        office.enroll("p", [template(1)], watchlists=["two"])
        with pytest.raises(SecondPersonNeeded) as kept:
            office.delete_subject("p")
        server.kill()
    with GuardedServer(data, shared_pki, *short) as server, WatchlistClient(server.address, credentials=boss) as office:
        assert [each.proposal_id for each in office.list_proposals()] == [kept.value.proposal_id]
        with pytest.raises(SecondPersonNeeded) as brief:
            office.update_subject("p", watchlists=[])
        number, revision = brief.value.proposal_id, office.server_info().revision
        assert until(lambda: office.server_info().revision > revision, 20)
        assert [each.proposal_id for each in office.list_proposals()] == [kept.value.proposal_id]
        assert list(office.get_subject("p").watchlists) == ["two"]
    shown = gerbang_command("audit", "show", "--data", str(data), "--subject", "p", "--json").splitlines()
    (ended,) = [each for each in map(json.loads, shown) if each.get("event") == "proposal_ended"]
    facts = {"subject_id": "p", "proposal_id": number, "change": "update_subject", "proposed_by": "admin"}
    assert (ended["answered"], ended["committed"]) == (facts, revision + 1)
    gerbang_command("audit", "verify", "--data", str(data))
    gerbang_command("check", "--data", str(data))
