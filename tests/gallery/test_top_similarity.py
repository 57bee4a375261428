"""The highest similarity is exact, is told whether or not anybody is a candidate, and tells of nobody else."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from office import Office, answered, unit

from gerbang_service.domain.questions import Answer, Everybody, Plan, Question
from gerbang_service.domain.thresholds import Rule
from gerbang_service.domain.watchlists import Direction, Watchlist

SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def office() -> Office:
    """900 subjects of one to three templates: some expired, some on no list, some deleted, some equal to each other."""
    rng = np.random.default_rng(5)
    made = Office(Watchlist("a"), Watchlist("b", direction=Direction.ARRIVAL), Watchlist("none"))
    twin = unit(rng, 1)
    for i in range(900):
        lists = [("a",), ("b",), ("a", "b"), ()][i % 4]
        until = time.time_ns() - 1 if i % 7 == 0 else None
        made.enrol(f"s{i:03}", twin if i % 50 == 1 else unit(rng, 1 + i % 3), *lists, until_ns=until)
    for i in range(0, 900, 11):
        made.delete(f"s{i:03}")
    made.wait_for_graph()
    return made


def highest(office: Office, probe: np.ndarray, *lists: str) -> float:
    """Return the highest similarity of all who are on these lists and in force, by a plain loop."""
    return max(
        float(np.float32(vector.astype(float) @ probe.astype(float)))
        for subject, vectors in office.records.values()
        for vector in vectors.values()
        if subject.expire_time_ns is None and not set(lists).isdisjoint(subject.watchlists)
    )


@given(seed=SEEDS, threshold=st.floats(-1, 1))
@settings(max_examples=40, deadline=None)
def test_it_is_the_brute_force_best_of_those_who_may_be_seen(office: Office, seed: int, threshold: float) -> None:
    """With plan EXACT: whatever the threshold, of the lists and the direction asked for, and of nobody else."""
    probe = unit(np.random.default_rng(seed), 1)[0]
    for lists, direction, searched in (
        ((), Direction.BOTH, ("a", "b")),
        (("b",), Direction.BOTH, ("b",)),
        ((), Direction.DEPARTURE, ("a",)),
    ):
        answer = office.answer(probe, Plan.EXACT, *lists, direction=direction, threshold=threshold)
        assert answer.top_similarity == pytest.approx(highest(office, probe, *searched), abs=1e-7)


@given(seed=SEEDS, threshold=st.floats(-1, 1), limit=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("plan", Plan)
def test_of_a_hit_it_is_the_best_candidates(
    office: Office, plan: Plan, seed: int, threshold: float, limit: int
) -> None:
    """To the bit, for every plan; without a hit it is below the threshold, and no more than the brute-force best."""
    probe = unit(np.random.default_rng(seed), 1)[0]
    answer = office.answer(probe, plan, threshold=threshold, limit=limit)
    assert answer.top_similarity is not None
    if answer.candidates:
        assert answer.top_similarity == answer.candidates[0].similarity
    else:
        assert answer.top_similarity < np.float32(threshold)
        assert answer.top_similarity <= highest(office, probe, "a", "b") + 1e-7


@pytest.mark.parametrize("plan", Plan)
def test_it_is_the_same_in_a_batch(office: Office, plan: Plan) -> None:
    """What else is asked at the same time does not change its last bit."""
    probes = unit(np.random.default_rng(2), 20)
    questions = [office.question(each, plan, threshold=0.9) for each in probes]
    together = office.gallery.search(questions)
    assert all(isinstance(each, Answer) for each in together)
    alone = [answered(office.gallery, each).top_similarity for each in questions]
    assert [each.top_similarity for each in together if isinstance(each, Answer)] == alone
    if plan is not Plan.EXACT:
        assert [answered_at_once(office, each) for each in questions] == alone


def answered_at_once(office: Office, question: Question) -> float | None:
    """Return what the event loop itself would answer."""
    answer = office.gallery.at_once(question)
    assert isinstance(answer, Answer)
    return answer.top_similarity


@pytest.mark.parametrize("plan", Plan)
def test_somebody_on_another_list_or_no_longer_in_force_does_not_show(plan: Plan) -> None:
    """A probe that equals them is as far from the lists searched as if they were not there."""
    rng = np.random.default_rng(3)
    now = [100]
    made = Office(Watchlist("mine"), Watchlist("theirs"), clock=lambda: now[0], start=False)
    faces = unit(rng, 5)
    made.enrol("mine", faces[:1], "mine")
    made.enrol("theirs", faces[1:2], "theirs")
    made.enrol("on none", faces[2:3])
    made.enrol("over", faces[3:4], "mine", until_ns=200)
    made.enrol("gone", faces[4:5], "mine")
    assert made.answer(faces[3], plan, "mine").top_similarity == pytest.approx(1.0)
    assert made.answer(faces[4], plan, "mine").top_similarity == pytest.approx(1.0)
    now[0] = 200
    made.delete("gone")
    for face in faces[1:]:
        top = made.answer(face, plan, "mine", threshold=-1.0).top_similarity
        assert top == pytest.approx(float(face @ faces[0]), abs=1e-6)


@pytest.mark.parametrize("plan", Plan)
def test_nobody_there_is_no_similarity(office: Office, plan: Plan) -> None:
    """A list without anybody has none; neither has a search for duplicates, which tells more than a caller may see."""
    probe = unit(np.random.default_rng(4), 1)[0]
    assert office.answer(probe, plan, "none").top_similarity is None
    assert answered(office.gallery, Question(probe, Everybody(Rule(0.5)), 5, plan)).top_similarity is None
