"""Where a threshold comes from, on the wire."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from gerbang.v1 import threshold_pb2 as pb
from gerbang_service.domain.thresholds import Source, Threshold

_SOURCES: Final = {each: pb.ThresholdSource.Value(f"THRESHOLD_SOURCE_{each.name}") for each in Source}


# A handful are in force at a time, and each is told of with every answer. Those of requests that name one may be many.
@lru_cache(maxsize=1024)
def threshold_basis(threshold: Threshold) -> pb.ThresholdBasis:
    """Return the ThresholdBasis message, which nobody may change: the next caller gets the same."""
    return pb.ThresholdBasis(
        source=_SOURCES[threshold.source],
        fmr=threshold.fmr,
        expected_fpir=threshold.expected_fpir,
        target_fpir=threshold.target_fpir,
        target_not_shown=threshold.target_not_shown,
        templates=threshold.templates,
        points_source=threshold.points_source,
    )
