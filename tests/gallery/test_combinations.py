"""What the gallery remembers of combinations of lists."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from office import Office, unit

from gerbang_service.domain.watchlists import Action, Direction, Watchlist
from gerbang_service.gallery import gallery


def test_subjects_share_their_lists_and_old_combinations_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """People on the same lists share one tuple; what was in use once does not add up for ever."""
    monkeypatch.setattr(gallery, "_MOST_COMBINATIONS", 4)
    names = [f"list-{number}" for number in range(6)]
    office = Office(*(Watchlist(each, "", Direction.BOTH, Action.REFER_TO_OFFICER, None, {}, 0, 0) for each in names))
    vectors = unit(np.random.default_rng(1), 1)
    for chosen in itertools.combinations(names, 2):
        office.enrol("a", vectors, *chosen)
        office.enrol("b", vectors, *chosen)
        one, other = (office.gallery._owners[each].watchlists for each in ("a", "b"))
        assert one == chosen
        assert one is other
    assert office.gallery._intern.cache_info().currsize <= 4
