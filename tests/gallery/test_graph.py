"""The graph has every live template once, whatever was added and deleted."""

from __future__ import annotations

import time

import numpy as np
from office import Office, graph_progress, unit

from gerbang_service.domain.questions import Plan
from gerbang_service.domain.watchlists import Watchlist


def test_the_graph_catches_up_with_exactly_the_live_templates() -> None:
    """Every live template is in it once, whatever was added and deleted while it followed."""
    rng = np.random.default_rng(12)
    made = Office(Watchlist("w"))
    for i in range(3000):
        made.enrol(f"s{i}", unit(rng, 1), "w")
        if i % 3 == 2:
            made.delete(f"s{i - 1}")
    made.wait_for_graph()
    progress = graph_progress(made.gallery)
    assert progress.indexed == made.gallery.size == 2000
    assert progress.pending == 0


def test_the_graph_is_rebuilt_when_too_much_of_it_is_deleted() -> None:
    """After deleting half, no more than the permitted share of it is tombstones, and everybody left is in it."""
    rng = np.random.default_rng(13)
    made = Office(Watchlist("w"))
    for i in range(3000):
        made.enrol(f"s{i}", unit(rng, 1), "w")
    made.wait_for_graph()
    for i in range(1500):
        made.delete(f"s{i}")
    deadline = time.monotonic() + 60
    while (progress := graph_progress(made.gallery)).tombstones > 0.2 * (progress.indexed + progress.tombstones):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    made.wait_for_graph()
    assert graph_progress(made.gallery).indexed == 1500
    survivor = made.records["s2000"][1]
    found = made.identify(next(iter(survivor.values())), Plan.GRAPH)
    assert found[0].subject_id == "s2000"
