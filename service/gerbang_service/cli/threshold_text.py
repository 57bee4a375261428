"""Where a threshold comes from, as an answer says it, in plain English."""

from __future__ import annotations

from typing import Final

from gerbang.v1 import threshold_pb2 as pb
from gerbang_service.domain.threshold_texts import describe
from gerbang_service.domain.thresholds import Source, Threshold

_SOURCES: Final = {pb.ThresholdSource.Value(f"THRESHOLD_SOURCE_{each.name}"): each for each in Source}


def threshold_text(cosine: float, basis: pb.ThresholdBasis) -> str:
    """Return a threshold and what is known of it; of an older server, which does not say, its number."""
    source = _SOURCES.get(basis.source)
    if source is None:
        return f"{cosine:.4f}"
    return describe(
        Threshold(
            cosine,
            source,
            basis.fmr if basis.HasField("fmr") else None,
            basis.templates,
            basis.expected_fpir if basis.HasField("expected_fpir") else None,
            basis.target_fpir if basis.HasField("target_fpir") else None,
            basis.target_not_shown,
            basis.points_source,
        )
    )
