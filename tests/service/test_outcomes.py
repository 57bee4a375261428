"""What a search came to: a hit, a silent one, or none; under which id; and how similar the best was."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from audit.logs import entries, wait_for
from gerbang import Decision, GateClient, IdentifyResponse, WatchlistClient
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.root import root
from running import RunningServer
from service.test_identify import fresh, person, photo

HIT, SILENT = Decision.DECISION_HIT, Decision.DECISION_SILENT_HIT


@pytest.fixture(scope="module")
def lists(server: RunningServer) -> dict[str, int]:
    """Two lists of one person each, by their names: who is to be stopped, and who is not to notice anything."""
    made = {fresh("stop"): person(), fresh("quiet"): person()}
    with WatchlistClient(server.address, timeout=30) as office:
        for name, identity in made.items():
            action = "silent_alert" if name.startswith("quiet") else "refer_to_officer"
            office.create_watchlist(name, action=action)
            office.enroll(f"s-{name}", [photo(identity)], watchlists=[name])
    return made


def test_a_silent_alert_is_no_hit_and_is_not_lost(lists: dict[str, int], gate: GateClient) -> None:
    """A gate that opens unless `hit` opens for it; the candidate and `decision` tell the officers."""
    stop, quiet = lists
    expected = {stop: (HIT, True), quiet: (SILENT, False)}
    for name, (decision, hit) in expected.items():
        answer = gate.identify(photo(lists[name], 1), watchlists=list(lists))
        assert (answer.decision, answer.hit) == (decision, hit)
        assert [each.subject_id for each in answer.candidates] == [f"s-{name}"]
        assert answer.top_similarity == answer.candidates[0].similarity
    nobody = gate.identify(photo(person()), watchlists=list(lists))
    assert (nobody.decision, nobody.hit) == (Decision.DECISION_NO_HIT, False)
    assert -1 <= nobody.top_similarity < nobody.threshold


def test_a_silent_alert_hides_nobody_who_is_to_be_stopped(office: WatchlistClient, gate: GateClient) -> None:
    """Enrolled twice, as the same person often is: whoever asks for one candidate is told of whom to stop."""
    wanted, quiet, stop = person(), fresh("quiet"), fresh("stop")
    office.create_watchlist(quiet, action="silent_alert")
    office.create_watchlist(stop, action="refuse_entry")
    office.enroll(fresh("s"), [photo(wanted, 1)], watchlists=[quiet])
    name = fresh("s")
    office.enroll(name, [photo(wanted, 2)], watchlists=[stop])
    answer = gate.identify(photo(wanted, 1), watchlists=[quiet, stop], max_candidates=1)
    assert (answer.decision, answer.hit) == (HIT, True)
    assert [each.subject_id for each in answer.candidates] == [name]
    assert answer.top_similarity > answer.candidates[0].similarity


def test_each_search_has_an_id_that_its_record_has(
    lists: dict[str, int], server: RunningServer, gate: GateClient
) -> None:
    """A UUID for each, of a batch and of a stream too; the record has it with the decision and the probe's quality."""
    probes = [photo(lists[name], 3) for name in lists]
    answers = [
        gate.identify(probes[0], watchlists=list(lists)),
        *gate.identify_batch(probes, watchlists=list(lists)),
        *gate.identify_stream(probes, watchlists=list(lists)),
        gate.identify(gate.extract(probes[0]).template, watchlists=list(lists)),
    ]
    assert len({each.search_id for each in answers}) == len(answers)
    for each in answers:
        assert str(uuid.UUID(each.search_id)) == each.search_id
        assert uuid.UUID(each.search_id).version == 4

    def records() -> dict[str, dict[str, object]]:
        found = [each["answered"] for each in entries(server.data / "audit") if "search_id" in each.get("answered", {})]
        return {each["search_id"]: each for each in found}

    wait_for(lambda: records().keys() >= {each.search_id for each in answers})
    known = records()
    for answer in answers:
        _check_record(known[answer.search_id], answer)
    assert "probe_quality" not in known[answers[-1].search_id]


def _check_record(record: dict[str, object], answer: IdentifyResponse) -> None:
    assert record["decision"] == Decision.Name(answer.decision).removeprefix("DECISION_").lower()
    assert record["hit"] == answer.hit
    assert record["top_similarity"] == pytest.approx(answer.top_similarity, abs=1e-7)
    if answer.HasField("probe_face"):
        quality = answer.probe_face.quality
        assert record["probe_quality"] == pytest.approx(
            {
                "detection_score": answer.probe_face.detection_score,
                "inter_eye_px": quality.inter_eye_px,
                "sharpness": quality.sharpness,
                "brightness": quality.brightness,
                "yaw": quality.yaw,
            },
            abs=0.051,
        )


def identify(server: RunningServer, *arguments: object) -> Result:
    """Run `gerbang identify` on photos."""
    command = ["identify", *map(str, arguments), "--server", server.address]
    return CliRunner().invoke(root, command, prog_name="gerbang")


def test_the_command_shows_a_silent_hit_and_has_a_code_for_it(
    lists: dict[str, int], server: RunningServer, tmp_path: Path
) -> None:
    """A script can neither take it for a hit and stop the traveller, nor for none and tell nobody."""
    photos = {}
    for number, (name, identity) in enumerate({**lists, "nobody": person()}.items()):
        photos[name] = tmp_path / f"{number}.jpg"
        photos[name].write_bytes(photo(identity, 4))
    stop, quiet, nobody = photos.values()
    only = [part for name in lists for part in ("--watchlist", name)]
    told = identify(server, quiet, *only, "--verbose")
    assert told.exit_code == ExitCode.SILENT
    assert "SILENT HIT" in told.stdout
    assert next(each for each in lists if each.startswith("quiet")) in told.stdout
    assert "most similar" in told.stdout
    assert identify(server, nobody, *only).exit_code == ExitCode.NO
    assert identify(server, quiet, nobody, *only).exit_code == ExitCode.SILENT
    assert identify(server, stop, quiet, *only).exit_code == ExitCode.YES
    document = json.loads(identify(server, quiet, *only, "--json").stdout)["results"][0]["answer"]
    assert (document["decision"], document["hit"]) == ("DECISION_SILENT_HIT", False)
