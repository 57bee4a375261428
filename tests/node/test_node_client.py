"""A gate controller in another language needs the protos and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gerbang import WatchlistClient
from pictures import crowd, photo
from running import RunningServer

HERE = Path(__file__).parent
PERSON, SUBJECT, WATCHLIST = 800, "node-1", "node"


def program(name: str) -> str:
    """Return the path of a program of Node's; skip without it, but fail in CI."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is missing, and CI must run this")
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The locked packages, installed outside of the checkout."""
    npm = program("npm")
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "node_modules"


@pytest.fixture(scope="module")
def printed(modules: Path, server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the client printed that is told to ask for an enrolled person."""
    with WatchlistClient(server.address) as office:
        office.create_watchlist(WATCHLIST, action="refuse_entry", direction="arrival")
        office.enroll(SUBJECT, [photo(PERSON, 1)], watchlists=[WATCHLIST], labels={"case": "4711"})
    folder = tmp_path_factory.mktemp("photos")
    files = {"photo": photo(PERSON, 2), "another": photo(PERSON, 3), "empty": crowd()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    arguments = [server.address, SUBJECT, WATCHLIST, *(str(folder / name) for name in files)]
    done = subprocess.run(
        [program("node"), str(HERE / "client.js"), *arguments],
        env={**os.environ, "NODE_PATH": str(modules)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def test_identify_finds_the_person_by_image_and_by_template(printed: dict[str, Any]) -> None:
    """Identify answers a client made of the protos with the candidate, what to do, and the labels."""
    for name in ("identify_image", "identify_template"):
        answer = printed[name]["answer"]
        assert answer["hit"] is True
        (candidate,) = answer["candidates"]
        assert candidate["subject_id"] == SUBJECT
        assert candidate["watchlists"] == [WATCHLIST]
        assert candidate["action"] == "ACTION_REFUSE_ENTRY"
        assert candidate["labels"] == {"case": "4711"}
        assert candidate["threshold"] <= candidate["similarity"] <= 1
    assert len(printed["identify_image"]["answer"]["probe_face"]["landmarks"]) == 5
    assert printed["identify_template"]["answer"]["probe_face"] is None


def test_verify_compares_with_a_subject_and_with_a_template(printed: dict[str, Any]) -> None:
    """Verify says yes to the enrolled person, and no at a threshold of 1 that another photo does not reach."""
    assert printed["verify_subject"]["answer"]["match"] is True
    assert int(printed["verify_subject"]["answer"]["template_id"]) > 0
    refused = printed["verify_sample"]["answer"]
    assert refused["match"] is False
    assert refused["threshold"] == 1
    assert 0.5 < refused["similarity"] < 1


def test_reason_of_a_failure_is_read_from_the_trailers(printed: dict[str, Any]) -> None:
    """The ErrorInfo and BadRequest of a failed call can be read with the protos that ship with Gerbang."""
    no_face = printed["no_face"]["error"]
    assert (no_face["code"], no_face["status_code"]) == (9, 9)
    assert (no_face["ErrorInfo"]["reason"], no_face["ErrorInfo"]["domain"]) == ("NO_FACE", "gerbang")
    bad_field = printed["bad_field"]["error"]
    assert (bad_field["code"], bad_field["ErrorInfo"]["reason"]) == (3, "FIELD_INVALID")
    assert bad_field["ErrorInfo"]["metadata"]["field"] == "max_candidates"
    assert bad_field["BadRequest"]["field_violations"][0]["field"] == "max_candidates"


def test_stream_is_answered_with_the_clients_numbers(printed: dict[str, Any]) -> None:
    """Every item of an IdentifyStream is answered once, under its number."""
    assert sorted(each["sequence"] for each in printed["stream"]) == [1, 2, 3]
    assert all(each["hit"] and each["error"] is None for each in printed["stream"])


def test_server_says_what_it_is(printed: dict[str, Any]) -> None:
    """GetServerInfo tells a client in another language the pack, the dimension and the revision."""
    info = printed["info"]["answer"]
    assert info["face_pack"] == "stand-in"
    assert info["dimension"] > 0
    assert info["revision"] > 0
