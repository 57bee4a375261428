"""A few kills under a mixed load; `make crashes` does hundreds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from crash.harness import Harness


@pytest.mark.parametrize(("workers", "kills"), [(1, 3), (2, 2)])
def test_promises_are_kept_over_kills_under_a_mixed_load(data: Path, workers: int, kills: int) -> None:
    """Killed at random among enrolments, changes, deletions and searches, the server loses nothing that it answered."""
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}: make crashes SEED={seed} repeats it")
    harness = Harness(data, seed, workers)
    harness.run(kills)
    assert harness.truth.acknowledged > 10
    assert harness.counts["searches"] > 0
    assert harness.counts["audits"] > 0
