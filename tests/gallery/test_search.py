"""Every plan answers with exact scores, in one order, and only with those who count."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from office import DIMENSION, Office, unit

from gerbang_service.domain.changes import WatchlistPut
from gerbang_service.domain.errors import WatchlistNotFound
from gerbang_service.domain.questions import Plan
from gerbang_service.domain.watchlists import Direction, Watchlist

PLANS = list(Plan)


@pytest.fixture(scope="module")
def office() -> Office:
    """600 subjects of one to three templates, some expired, some on no list, some equal to each other."""
    rng = np.random.default_rng(5)
    made = Office(Watchlist("a"), Watchlist("b", direction=Direction.ARRIVAL))
    twin = unit(rng, 1)
    for i in range(600):
        lists = [("a",), ("b",), ("a", "b"), ()][i % 4]
        until = time.time_ns() - 1 if i % 7 == 0 else None
        vectors = twin if i % 50 == 1 else unit(rng, 1 + i % 3)
        made.enrol(f"s{i:03}", vectors, *lists, until_ns=until)
    for i in range(0, 600, 11):
        made.delete(f"s{i:03}")
    made.wait_for_graph()
    return made


@given(seed=st.integers(0, 2**32 - 1), threshold=st.floats(-1, 1), limit=st.integers(1, 100))
@settings(max_examples=60, deadline=None)
def test_the_exact_plan_equals_brute_force(office: Office, seed: int, threshold: float, limit: int) -> None:
    """Subjects, order, scores and best templates are those of a plain loop over everything."""
    probe = unit(np.random.default_rng(seed), 1)[0]
    found = office.identify(probe, Plan.EXACT, threshold=threshold, limit=limit)
    assert [(c.subject_id, c.similarity, c.template_id) for c in found] == office.brute_force(probe, threshold, limit)


@pytest.mark.parametrize("plan", PLANS)
def test_a_reported_score_is_the_exact_cosine(office: Office, plan: Plan) -> None:
    """Whichever plan found a candidate, its score is that of the exact comparison, to the bit."""
    for subject, vectors in list(office.records.values())[:200]:
        if not subject.watchlists:
            continue
        probe = next(iter(vectors.values()))
        exact = {c.subject_id: c.similarity for c in office.identify(probe, Plan.EXACT, limit=100)}
        for candidate in office.identify(probe, plan, limit=100):
            assert candidate.similarity == exact[candidate.subject_id]


@pytest.mark.parametrize("plan", PLANS)
def test_equal_scores_are_ordered_by_subject_id(office: Office, plan: Plan) -> None:
    """People enrolled with the very same template come in the order of their ids, every time."""
    probe = office.records["s051"][1]
    found = office.identify(next(iter(probe.values())), plan, limit=100)
    twins = [c.subject_id for c in found if c.similarity == found[0].similarity]
    assert len(twins) > 3
    assert twins == sorted(twins)


@pytest.mark.parametrize("plan", PLANS)
def test_those_who_do_not_count_are_never_found(office: Office, plan: Plan) -> None:
    """Deleted, expired, on no list, or on a list that was not asked for: not in any answer."""
    rng = np.random.default_rng(8)
    for probe in unit(rng, 30):
        for candidate in office.identify(probe, plan, "b", threshold=-1.0, limit=100):
            subject = office.records[candidate.subject_id][0]
            assert "b" in subject.watchlists
            assert candidate.watchlists == ("b",)
            assert subject.expire_time_ns is None


def test_a_list_of_the_other_direction_is_not_searched(office: Office) -> None:
    """At departure only lists for departures and for both ways count."""
    subject = next(s for s, _ in office.records.values() if s.watchlists == ("b",) and s.expire_time_ns is None)
    probe = next(iter(office.records[subject.subject_id][1].values()))
    arriving = office.identify(probe, Plan.EXACT, direction=Direction.ARRIVAL)
    leaving = office.identify(probe, Plan.EXACT, direction=Direction.DEPARTURE)
    assert subject.subject_id in [c.subject_id for c in arriving]
    assert subject.subject_id not in [c.subject_id for c in leaving]


def test_a_list_that_does_not_exist_is_an_error(office: Office) -> None:
    """A gate that asks for an unknown list must not be told that nobody is on it."""
    with pytest.raises(WatchlistNotFound):
        office.identify(np.ones(DIMENSION, np.float32) / 4, Plan.EXACT, "a", "none such")


@pytest.fixture(scope="module")
def crowd() -> tuple[Office, np.ndarray]:
    """5,000 people, every tenth on list `some` and the others on `most`, and their templates."""
    made = Office(Watchlist("most"), Watchlist("some"))
    vectors = unit(np.random.default_rng(11), 5000)
    people = [(f"s{i}", vector[np.newaxis]) for i, vector in enumerate(vectors)]
    made.enrol_all(people[::10], "some")
    made.enrol_all([each for i, each in enumerate(people) if i % 10], "most")
    made.wait_for_graph()
    return made, vectors


@pytest.mark.large
@pytest.mark.parametrize("plan", [Plan.BOTH, Plan.SWEEP, Plan.GRAPH])
def test_a_mate_above_the_threshold_is_found(crowd: tuple[Office, np.ndarray], plan: Plan) -> None:
    """Among 5,000 others no plan misses a probe at similarity 0.7, whatever share of them the filter leaves."""
    made, vectors = crowd
    rng = np.random.default_rng(12)
    for i in range(0, 5000, 50):
        noise = rng.standard_normal(DIMENSION)
        noise -= (noise @ vectors[i]) * vectors[i]
        probe = (0.7 * vectors[i] + np.sqrt(1 - 0.49) * noise / np.linalg.norm(noise)).astype(np.float32)
        for lists in ((), ("some",)):
            exact = made.identify(probe, Plan.EXACT, *lists, limit=5)
            found = made.identify(probe, plan, *lists, limit=5)
            if plan is Plan.GRAPH:  # may miss; what it finds is right
                everybody = made.identify(probe, Plan.EXACT, *lists, limit=100)
                assert {each.subject_id for each in found} <= {each.subject_id for each in everybody}
            else:
                assert found[:1] == exact[:1]


def test_a_subject_of_many_templates_does_not_hide_others() -> None:
    """A hundred templates of one person above the threshold leave room for the next person."""
    rng = np.random.default_rng(14)
    made = Office(Watchlist("w"))
    for i in range(1000):
        made.enrol(f"s{i}", unit(rng, 1), "w")
    face = unit(rng, 1)
    near = face + 0.02 * unit(rng, 100)
    made.enrol("many", np.asarray(near / np.linalg.norm(near, axis=1, keepdims=True), np.float32), "w")
    other = face + 0.3 * unit(rng, 1)
    made.enrol("other", np.asarray(other / np.linalg.norm(other), np.float32), "w")
    for plan in (Plan.BOTH, Plan.SWEEP):
        assert [c.subject_id for c in made.identify(face[0], plan)][:2] == ["many", "other"]


@pytest.fixture(scope="module")
def large() -> Office:
    """3,000 people, three of whom are on list `small`."""
    rng = np.random.default_rng(3)
    made = Office(Watchlist("large"), Watchlist("small"))
    people = [(f"s{i}", unit(rng, 1)) for i in range(3000)]
    made.enrol_all(people[500::1000], "small")
    made.enrol_all([each for i, each in enumerate(people) if i % 1000 != 500], "large")
    return made


@pytest.mark.large
@pytest.mark.parametrize("plan", PLANS)
def test_a_small_list_in_a_large_gallery_is_searched_completely(large: Office, plan: Plan) -> None:
    """A filter that leaves one row in a thousand costs no recall."""
    made = large
    wanted = made.records["s1500"][1]
    probe = next(iter(wanted.values()))
    found = made.identify(probe, plan, "small", threshold=-1.0, limit=10)
    assert sorted(c.subject_id for c in found) == ["s1500", "s2500", "s500"]
    assert found[0].subject_id == "s1500"


def test_leaving_and_reusing_a_list_number_mixes_up_nobody() -> None:
    """When a list is deleted and another created, nobody of the first is on the second."""
    rng = np.random.default_rng(4)
    made = Office(Watchlist("first"))
    vectors = unit(rng, 2)
    made.enrol("one", vectors[:1], "first")
    made.drop_list("first")
    made.apply(WatchlistPut(made.next(), Watchlist("second")))
    made.enrol("two", vectors[1:], "second")
    assert [c.subject_id for c in made.identify(vectors[0], Plan.EXACT, threshold=-1.0)] == ["two"]


def test_more_than_64_lists_are_kept_apart() -> None:
    """The 65th list is as good as the first."""
    rng = np.random.default_rng(6)
    made = Office(*(Watchlist(f"w{i}") for i in range(130)))
    vectors = unit(rng, 130)
    for i in range(130):
        made.enrol(f"s{i}", vectors[i : i + 1], f"w{i}")
    for i in (0, 63, 64, 65, 127, 128, 129):
        found = made.identify(vectors[i], Plan.EXACT, f"w{i}", threshold=-1.0, limit=100)
        assert [c.subject_id for c in found] == [f"s{i}"]


def test_replaced_subject_is_found_all_the_time() -> None:
    """While a subject's templates are replaced by new ones of the same face, every search finds one or the other."""
    made = Office(Watchlist("a"))
    rng = np.random.default_rng(9)
    for number, vector in enumerate(unit(rng, 400)):
        made.enrol(f"other-{number}", vector[np.newaxis], "a")
    face = unit(rng, 1)
    made.enrol("wanted", face, "a")
    done = threading.Event()
    answers: list[bool] = []

    def search() -> None:
        while not done.is_set():
            answers.append(
                [each.subject_id for each in made.identify(face[0], Plan.SWEEP, threshold=0.99)] == ["wanted"]
            )

    thread = threading.Thread(target=search)
    thread.start()
    replaced, until = 0, time.monotonic() + 20
    while (replaced < 600 or len(answers) < 20) and time.monotonic() < until:
        made.enrol("wanted", face, "a")
        replaced += 1
    done.set()
    thread.join()
    assert len(answers) >= 20
    assert all(answers)
    made.gallery.stop()
