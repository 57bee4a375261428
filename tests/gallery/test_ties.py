"""Equally similar people are answered in the order of their ids, however many there are."""

from __future__ import annotations

import numpy as np
import pytest
from office import DIMENSION, Office, unit

from gerbang_service.domain.questions import Plan
from gerbang_service.domain.watchlists import Watchlist


@pytest.mark.parametrize("plan", [Plan.BOTH, Plan.SWEEP, Plan.EXACT])
@pytest.mark.parametrize("twins", [33, 200, 1500])
def test_of_more_twins_than_are_proposed_the_smallest_ids_are_answered(plan: Plan, twins: int) -> None:
    """The same photo under many ids: the first five by id, whatever the plan and the order of enrolment."""
    rng = np.random.default_rng(41)
    office = Office(Watchlist("a"), start=False)
    office.enrol_all([(f"s{i}", each[np.newaxis]) for i, each in enumerate(unit(rng, 1000))], "a")
    # Its product with itself is 1 to the last bit, however it is summed: nothing hints that there are more.
    face = np.eye(1, DIMENSION, dtype=np.float32)
    numbers = rng.permutation(twins)
    office.enrol_all([(f"twin-{number:05}", face) for number in numbers], "a")
    found = office.identify(face[0], plan, threshold=0.99)
    assert [each.subject_id for each in found] == [f"twin-{number:05}" for number in range(5)]


@pytest.mark.parametrize("plan", [Plan.BOTH, Plan.SWEEP, Plan.EXACT])
def test_a_gallery_of_one_photo_answers_by_id(plan: Plan) -> None:
    """As in a load test with one template: everybody ties, and the answer is the same every time."""
    office = Office(Watchlist("a"), start=False)
    face = np.eye(1, DIMENSION, dtype=np.float32)
    numbers = np.random.default_rng(1).permutation(2000)
    office.enrol_all([(f"{number:05}", face) for number in numbers], "a")
    for limit in (1, 5, 100):
        found = office.identify(face[0], plan, threshold=0.5, limit=limit)
        assert [each.subject_id for each in found] == [f"{number:05}" for number in range(limit)]
