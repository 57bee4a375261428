"""Thresholds and where they come from: a request, a watchlist, the settings, or what is known of a recogniser."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from gerbang_service.domain.false_matches import FalseMatchRates, fmr_for, fpir_of
from gerbang_service.domain.watchlists import Watchlist

DEFAULT_TARGET_FPIR = 0.001
"""The share of strangers that may be a hit where nobody says otherwise."""
# A fixed threshold that stops more strangers than this is warned of.
MANY_STRANGERS = 0.01


def as_float32(value: float) -> float:
    """Round to float32, so that a threshold that crossed the wire compares equal to the one in the settings."""
    return float(np.float32(value))


class Source(Enum):
    """Who or what set a threshold."""

    REQUEST = "request"
    WATCHLIST = "watchlist"
    WATCHLIST_TARGET = "watchlist_target"
    SETTING = "setting"
    TARGET = "target"
    RECOGNISER = "recogniser"


@dataclass(frozen=True, slots=True)
class Threshold:
    """The similarity from which on two faces are taken for one person's, and where it comes from.

    `cosine`: -1 to 1, a float32. `fmr`: the false match rate at it, None where it is not known. Of a search also
    `templates`, the number that it was worked out for (0: of a comparison of two); `expected_fpir`, the share of
    strangers that will be a hit, None where it is not known; `target_fpir`, the share that was asked for, None for
    a threshold that follows none; and `target_not_shown`, whether that is less than the known points can show.
    `points_source`: where these come from; empty where none are known. `at_least_fpir`: of one that is below the first
    point, the share of strangers at that.
    """

    cosine: float
    source: Source
    fmr: float | None = None
    templates: int = 0
    expected_fpir: float | None = None
    target_fpir: float | None = None
    target_not_shown: bool = False
    points_source: str = ""
    at_least_fpir: float | None = None

    @property
    def stops_many(self) -> bool:
        """Whether it stops more strangers than a fixed threshold should."""
        return self.target_fpir is None and (self.expected_fpir or self.at_least_fpir or 0) > MANY_STRANGERS


@dataclass(frozen=True, slots=True)
class Rule:
    """What decides where neither a request nor a list does: a fixed threshold, or a share of strangers as a target.

    `fixed`: a cosine, or None for one that follows `target_fpir`, above 0 and at most 0.5, by the recogniser's
    `rates`, which have to be known then.
    """

    fixed: float | None = None
    target_fpir: float | None = None
    rates: FalseMatchRates | None = None

    def __post_init__(self) -> None:
        """Refuse what decides nothing, or two things: ValueError."""
        if (self.fixed is None) == (self.target_fpir is None) or (self.fixed is None and self.rates is None):
            raise ValueError("a fixed threshold, or a target and the rates that it is met by")

    def of_server(self, templates: int) -> Threshold:
        """Return the threshold of lists without one of their own, on which so many templates are searched together."""
        if self.fixed is not None:
            return self.at(self.fixed, Source.SETTING, templates)
        assert self.target_fpir is not None  # noqa: S101 - one of the two
        return self._following(self.target_fpir, Source.TARGET, templates)

    def of_list(self, watchlist: Watchlist, templates: int) -> Threshold:
        """Return the threshold of a list with one, or a target, of its own, and with so many templates.

        A target can't be met where no rates are known, as after a change of the recogniser: then it has the server's,
        and that says so.
        """
        if watchlist.threshold is not None:
            return self.at(watchlist.threshold, Source.WATCHLIST, templates)
        assert watchlist.target_fpir is not None  # noqa: S101 - one of the two
        if self.rates is not None:
            return self._following(watchlist.target_fpir, Source.WATCHLIST_TARGET, templates)
        assert self.fixed is not None  # noqa: S101 - without rates
        return Threshold(
            as_float32(self.fixed),
            Source.SETTING,
            templates=templates,
            target_fpir=watchlist.target_fpir,
            target_not_shown=True,
        )

    def at(self, cosine: float, source: Source, templates: int = 0) -> Threshold:
        """Return a fixed threshold, and what is known of it. `templates`: 0 for a comparison of two."""
        fmr, least = self.fmr_at(cosine), None
        expected = fpir_of(fmr, templates) if fmr is not None and templates else None
        if self.rates is not None and cosine < self.rates.points[0].cosine and templates:
            least = fpir_of(self.rates.points[0].fmr, templates)
        return Threshold(
            as_float32(cosine), source, fmr, templates, expected, points_source=self._points, at_least_fpir=least
        )

    def fmr_at(self, similarity: float) -> float | None:
        """Return the share of pairs of different people that are as similar, or None where that is not known."""
        return None if self.rates is None else self.rates.fmr_at(similarity)

    def _following(self, target: float, source: Source, templates: int) -> Threshold:
        assert self.rates is not None  # noqa: S101 - there is a target
        needed = fmr_for(target, templates)
        cosine = self.rates.cosine_for(needed)
        # Beyond the first point its threshold counts, whose rate is less than what is needed.
        fmr = max(self.rates.lowest, min(needed, self.rates.points[0].fmr))
        return Threshold(
            as_float32(cosine),
            source,
            fmr,
            templates,
            fpir_of(fmr, templates),
            target,
            target_not_shown=needed < self.rates.lowest,
            points_source=self._points,
        )

    @property
    def _points(self) -> str:
        return "" if self.rates is None else self.rates.source
