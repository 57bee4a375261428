"""The false match rate at the highest similarity: told where it is known, and on record."""

from __future__ import annotations

import pytest

from gerbang_service.domain.questions import Answer, Identification, Plan
from gerbang_service.domain.thresholds import Source, Threshold
from gerbang_service.rpc import mapping
from gerbang_service.rpc.records import ANSWERED


@pytest.mark.parametrize("rate", [1e-6, None])
def test_a_rate_that_is_known_is_told_and_recorded(rate: float | None) -> None:
    """As precisely as it is known; one that is not is absent, and not 0."""
    answer = Answer([], Threshold(0.5, Source.SETTING), Plan.BOTH, 1, 1, 1, top_similarity=0.25)
    response = mapping.identification(Identification(answer, None, "an id", rate), 0)
    assert response.HasField("fmr_at_similarity") == (rate is not None)
    record = ANSWERED[type(response)](response)
    assert (record["top_similarity"], record.get("fmr_at_similarity")) == (0.25, rate)
    assert response.top_similarity == 0.25
