"""The server checks its own answers, and an operator can measure what a plan misses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gerbang import FieldInvalid, GateClient, WatchlistClient, enroll_request, error_of
from gerbang.v1 import plan_pb2
from running import RunningServer, StartRefused

DIMENSION = 64
ENROLLED = 1500


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that audits every search, with ENROLLED people on a list."""
    options = ("--pack", "none", "--dimension", str(DIMENSION), "--threshold", "0.6", "--recall-check-every", "1")
    with RunningServer(tmp_path_factory.mktemp("audit") / "data", *options) as running:
        vectors = np.random.default_rng(1).standard_normal((ENROLLED, DIMENSION)).astype(np.float32)
        with WatchlistClient(running.address) as office:
            office.create_watchlist("w")
            requests = (enroll_request(f"s{i}", [vector], watchlists=["w"]) for i, vector in enumerate(vectors))
            assert all(error_of(answer) is None for answer in office.enroll_stream(requests))
        yield running


def test_audited_searches_are_counted_and_miss_nobody(audited: RunningServer) -> None:
    """Each search is answered again by exact comparison; plan `both` found everybody that it did."""
    vectors = np.random.default_rng(1).standard_normal((ENROLLED, DIMENSION)).astype(np.float32)
    with GateClient(audited.address) as gate, WatchlistClient(audited.address) as office:
        before = office.server_info().audit
        for vector in vectors[:50]:
            assert gate.identify(vector).hit
        gate.identify(vectors[0], plan="exact")  # nothing to check it against
        deadline = time.monotonic() + 20
        while (count := office.server_info().audit).audited + count.skipped < before.audited + before.skipped + 50:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert count.audited + count.skipped == before.audited + before.skipped + 50
        assert count.audited > before.audited
        assert count.missed == 0


def test_the_graph_alone_is_no_plan_to_serve_with(tmp_path: Path) -> None:
    """It misses people: it can be measured, and neither a setting nor a search chooses it."""
    with pytest.raises(StartRefused, match="'graph' is not one of 'both', 'sweep', 'exact'"):
        RunningServer(tmp_path / "data", "--pack", "none", "--dimension", "4", "--plan", "graph")


def test_recall_is_measured_for_every_plan_and_similarity(audited: RunningServer) -> None:
    """The exact plan misses nobody, nor does `both`, and each has its times."""
    with WatchlistClient(audited.address) as office:
        measured = office.measure_recall(sample=40, similarities=[0.7, 0.9])
    assert measured.gallery_size == ENROLLED
    assert len(measured.measurements) == 8
    for each in measured.measurements:
        assert 0 < each.median_us <= each.p99_us
        assert 30 <= each.probes <= 40
        if each.plan in {plan_pb2.PLAN_EXACT, plan_pb2.PLAN_BOTH, plan_pb2.PLAN_SWEEP}:
            assert each.missed == 0


@pytest.mark.parametrize(
    "wrong", [{"sample": 10_001}, {"sample": -1}, {"similarities": [1.0]}, {"similarities": [0.5] * 17}]
)
def test_a_measurement_that_makes_no_sense_is_refused(audited: RunningServer, wrong: dict[str, object]) -> None:
    """The field is named."""
    with WatchlistClient(audited.address) as office, pytest.raises(FieldInvalid):
        office.measure_recall(**wrong)  # type: ignore[arg-type]


def test_the_configuration_page_lists_every_setting(request: pytest.FixtureRequest) -> None:
    """docs/configuration.md has a row, with the default and the meaning, for each."""
    from gerbang_service.cli.settings_page import settings_page

    page = Path(request.config.rootpath) / "docs" / "configuration.md"
    assert page.read_text() == settings_page()
