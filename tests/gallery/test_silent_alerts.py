"""How many candidates are wanted does not decide who passes: a silent alert hides nobody who is to be stopped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from office import Office, across, unit

from gerbang_service.domain.decision import Candidate, Decision, decision_of, ranked
from gerbang_service.domain.questions import Plan
from gerbang_service.domain.watchlists import Action, Watchlist

PLANS = [Plan.EXACT, Plan.BOTH, Plan.SWEEP]
DIMENSION = 64


@pytest.fixture(scope="module")
def crowd() -> tuple[Office, np.ndarray]:
    """1,500 on a list of silent alerts, all more similar to one face than the one whose entry is refused."""
    rng = np.random.default_rng(1)
    face = unit(rng, 1, DIMENSION)[0]
    made = Office(
        Watchlist("silent", action=Action.SILENT_ALERT),
        Watchlist("refuse", action=Action.REFUSE_ENTRY),
        Watchlist("far", action=Action.REFUSE_ENTRY, threshold=0.99),
        dimension=DIMENSION,
        start=False,
    )
    spread = np.linspace(0.75, 0.95, 1500)
    made.enrol_all([(f"s{i}", across(face, each, rng)[np.newaxis]) for i, each in enumerate(spread)], "silent")
    made.enrol("refused", across(face, 0.7, rng)[np.newaxis], "refuse")
    made.enrol("not near enough", across(face, 0.8, rng)[np.newaxis], "far")
    return made, face


@pytest.mark.parametrize("limit", [1, 5, 100])
@pytest.mark.parametrize("plan", PLANS)
def test_who_is_to_be_stopped_is_found_behind_any_number_of_silent_alerts(
    crowd: tuple[Office, np.ndarray], plan: Plan, limit: int
) -> None:
    """As the last of the candidates, where all the others are silent alerts; the best come first as ever."""
    made, face = crowd
    answer = made.answer(face, plan, threshold=None, limit=limit)
    assert len(answer.candidates) == limit
    assert answer.candidates[-1].subject_id == "refused"
    assert decision_of(answer.candidates) is Decision.HIT
    assert answer.top_similarity == pytest.approx(0.95, abs=1e-4)
    only_silent = made.answer(face, plan, "silent", "far", threshold=None, limit=limit)
    assert decision_of(only_silent.candidates) is Decision.SILENT_HIT
    assert answer.candidates[:-1] == only_silent.candidates[:-1]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from(Action)), max_size=12),
    st.integers(1, 12),
)
@settings(deadline=None)
def test_a_cut_keeps_the_decision_and_the_best(found: list[tuple[int, Action]], limit: int) -> None:
    """What a search comes to is the same however many candidates are wanted; all but the last are the best."""
    everybody = [Candidate(f"s{i}", score / 10, 0.0, i, action=action) for i, (score, action) in enumerate(found)]
    whole, kept = ranked(everybody, len(everybody) + 1), ranked(everybody, limit)
    assert decision_of(kept) is decision_of(whole)
    assert len(kept) == min(limit, len(whole))
    assert kept[:-1] == whole[: len(kept)][:-1]
    half = len(everybody) // 2
    assert ranked([*ranked(everybody[:half], limit), *ranked(everybody[half:], limit)], limit) == kept
