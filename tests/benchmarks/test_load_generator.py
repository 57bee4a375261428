"""The load generator against a real server: it counts what was answered, what failed and why, and what was missed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from benchmarks.loading.crew import Crew
from benchmarks.loading.decks import Deck, Fixed, NewPeople
from benchmarks.loading.kinds import KINDS, Asked, Mate
from benchmarks.loading.phase import Phase

from benchmarks import h2load, load
from gerbang import WatchlistClient
from gerbang.v1.matching_service_pb2 import IdentifyRequest
from gerbang.v1.sample_pb2 import Sample, Template
from running import RunningServer

VECTOR = (np.eye(16, dtype="<f4") + 0.1)[3]


def identify(vector: np.ndarray, *mates: Mate | None) -> Asked:
    request = IdentifyRequest(probe=Sample(template=Template(vector=vector.astype("<f4").tobytes())))
    return Asked(request.SerializeToString(), 1, mates)


def test_each_kind_of_loop_counts_answers_misses_and_errors(templates_server: RunningServer) -> None:
    with WatchlistClient(templates_server.address) as office:
        office.create_watchlist("load")
        office.enroll("load-mate", [VECTOR.tolist()], watchlists=["load"])
    right = Fixed([identify(VECTOR, Mate("load-mate", 1.0))])
    mixed = Fixed([identify(VECTOR, Mate("nobody", 1.0)), identify(VECTOR[:5])])
    decks: dict[str, Deck] = {"identify": mixed, "identify-stream": right, "enrol": NewPeople(16, ("load",))}
    with Crew([templates_server.address], decks, processes=2, channels=1) as crew:
        closed = crew.run(Phase(0, "identify", 0.5, 0.1, clients=4, check_every=1))
        stream = crew.run(Phase(0, "identify-stream", 0.5, 0.1, rate=100.0, arrivals="even", check_every=1))
        enrolled = crew.run(Phase(0, "enrol", 0.5, 0.1, clients=2))
    assert closed.missed == closed.checked > 0
    assert set(closed.errors) == {"INVALID_ARGUMENT TEMPLATE_INVALID"}
    assert closed.offered == closed.latency.count + closed.errors.total()
    assert stream.missed == 0
    assert stream.checked == stream.offered == 50
    assert not stream.errors
    assert enrolled.answered > 0
    assert not enrolled.errors


def test_the_command_measures_a_server_and_writes_what_it_found(
    templates_server: RunningServer, tmp_path: Path
) -> None:
    plot, found = tmp_path / "sweep.svg", tmp_path / "sweep.json"
    arguments = ["--target", templates_server.address, "--sweep", "50,100", "--seconds", "0.5", "--warm-up", "0.1"]
    assert load.main([*arguments, "--json", str(found), "--plot", str(plot)]) == 0
    result = json.loads(found.read_text())["result"]
    assert set(result) == {"50", "100"}
    assert all(each["calls"] > 0 and not each["errors"] for each in result.values())
    assert plot.read_text().startswith("<svg")


def test_a_server_that_is_not_there_is_an_error_at_once() -> None:
    with pytest.raises(SystemExit, match=r"127\.0\.0\.1:1"):
        load.main(["--target", "127.0.0.1:1"])


OUTPUT = """\
finished in 4.00s, 628.00 req/s, 45.18KB/s
requests: 1990 total, 1985 started, 1884 done, 1880 succeeded, 3 failed, 1 errored, 0 timeout
status codes: 1884 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 135.54KB (138795) total, 7.95KB (8139) headers (space savings 96.15%), 33.05KB (33840) data
"""


def test_of_what_h2load_reports_only_answers_with_a_message_are_useful() -> None:
    found = h2load.parsed(OUTPUT, 4.0, 13, 0.5)
    assert found == h2load.Flood(4.0, sent=1985, done=1884, answered=1880, broken=4, processor_s=0.5)
    assert found.per_s == 470.0


def test_an_output_of_h2load_that_is_not_understood_is_an_error() -> None:
    with pytest.raises(SystemExit, match="not understood"):
        h2load.parsed("requests: none", 4.0, 13, 0.5)


@pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load (Debian: nghttp2-client) is not installed")
def test_h2load_tells_answers_from_refusals(templates_server: RunningServer) -> None:
    asked = identify(VECTOR)
    call = h2load.prepared(templates_server.address, KINDS["identify"], asked.body)
    found = h2load.flood(templates_server.address, call, 0.5, h2load.Shape(1, 2))
    assert found.answered == found.done > 0
    late = h2load.flood(templates_server.address, call, 0.5, h2load.Shape(1, 2, rate=100.0, deadline_s=0.0001))
    assert late.sent >= late.done > late.answered
