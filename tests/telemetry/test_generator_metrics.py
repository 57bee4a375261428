"""What is told of the generators of candidates: how far each is, and whether it fails."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from gerbang import WatchlistClient
from gerbang_service.gallery.candidates.port import GeneratorProgress
from gerbang_service.running.figures import of_generators
from gerbang_service.running.list_sizes import ListSizes
from telemetry.metered import DIMENSION, MeteredServer, samples_of, value


def test_each_generator_of_a_server_holds_all_templates_soon(metered: MeteredServer) -> None:
    with WatchlistClient(metered.address) as office:
        office.create_watchlist("w")
        for number in range(3):
            office.enroll(f"p{number}", [[float(number == each) for each in range(DIMENSION)]], watchlists=["w"])
    deadline = time.monotonic() + 10
    while value(samples := metered.scrape(), "gerbang_generator_templates", generator="graph", state="pending"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for generator in ("sweep", "graph"):
        assert value(samples, "gerbang_generator_templates", generator=generator, state="indexed") == 3
        assert value(samples, "gerbang_generator_up", generator=generator) == 1


def test_a_generator_that_has_ended_is_down_and_its_failures_are_counted() -> None:
    class Told(Collector):
        def collect(self):  # type: ignore[no-untyped-def]  # noqa: ANN202
            return of_generators([GeneratorProgress("graph", 7, 5, 2, failed=True, failures=3)])

    registry = CollectorRegistry()
    registry.register(Told())
    samples = samples_of(generate_latest(registry).decode())
    assert value(samples, "gerbang_generator_up", generator="graph") == 0
    assert samples["gerbang_generator_up", frozenset({("generator", "graph")})] == 0
    assert value(samples, "gerbang_generator_failures_total", generator="graph") == 3
    assert value(samples, "gerbang_generator_templates", generator="graph", state="pending") == 5


def test_lists_are_counted_once_a_revision() -> None:
    sizes, counts = ListSizes(), iter(({"w": 1}, {"w": 2}))
    assert sizes.at(5, lambda: next(counts)) == {"w": 1}
    assert sizes.at(5, lambda: next(counts)) == {"w": 1}
    deadline = time.monotonic() + 10
    while sizes.at(6, lambda: next(counts)) == {"w": 1}:
        assert time.monotonic() < deadline
    assert sizes.at(6, lambda: next(counts)) == {"w": 2}


def test_a_count_that_took_long_is_not_made_again_at_once() -> None:
    made: list[int] = []

    def count() -> dict[str, int]:
        made.append(1)
        time.sleep(0.05)
        return {"w": len(made)}

    sizes, began = ListSizes(), time.monotonic()
    revision = 0
    while time.monotonic() < began + 0.5:
        revision += 1
        sizes.at(revision, count)
    assert len(made) == 1
