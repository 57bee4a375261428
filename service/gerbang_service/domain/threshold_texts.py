"""What thresholds mean, in plain English: for logs, for the command line, for `gerbang doctor`."""

from __future__ import annotations

from typing import Final

from gerbang_service.domain.thresholds import MANY_STRANGERS, Source, Threshold

_SOURCES: Final = {
    Source.REQUEST: "asked for",
    Source.WATCHLIST: "the list's own",
    Source.WATCHLIST_TARGET: "for the list's target of {target} strangers",
    Source.SETTING: "setting threshold",
    Source.TARGET: "for the target of {target} strangers",
    Source.RECOGNISER: "known of the recogniser",
}


def of_1000(share: float) -> str:
    """Return a share of strangers as so many of 1,000."""
    return f"{1000 * share:.3g} of 1,000"


def describe(threshold: Threshold) -> str:
    """Return a threshold, where it comes from, and how many strangers it stops, in one line."""
    target = "" if threshold.target_fpir is None else of_1000(threshold.target_fpir)
    parts = [f"{threshold.cosine:.4f}", _SOURCES[threshold.source].format(target=target), _strangers(threshold)]
    if threshold.target_not_shown:
        parts.append(not_shown(threshold))
    return ", ".join(each for each in parts if each)


def warning(threshold: Threshold) -> str | None:
    """Return what an operator has to know and may not like, or None."""
    if threshold.target_not_shown:
        return not_shown(threshold)
    if threshold.stops_many:
        return (
            f"{_strangers(threshold)}, more than {of_1000(MANY_STRANGERS)}: give target_fpir in its place, or a higher "
            "one"
        )
    return None


def not_shown(threshold: Threshold) -> str:
    """Say of a threshold whose target can't be shown what that means."""
    asked = "" if threshold.target_fpir is None else f" of {of_1000(threshold.target_fpir)}"
    if threshold.fmr is None:
        return f"the target{asked} can't be shown: no false match rates of this recogniser are known"
    return (
        f"the target{asked} can't be shown: the known false match rates end at {threshold.fmr:.1e}, and the threshold "
        "there is used"
    )


def _strangers(threshold: Threshold) -> str:
    if not threshold.templates:
        return "" if threshold.fmr is None else f"false match rate {threshold.fmr:.1e}"
    among = f"among {threshold.templates:,} templates"
    if threshold.expected_fpir is not None:
        return f"stops about {of_1000(threshold.expected_fpir)} strangers {among}"
    if threshold.at_least_fpir is not None:
        return f"stops more than {of_1000(threshold.at_least_fpir)} strangers {among}"
    known = "it is outside of the known false match rates" if threshold.points_source else "no rates are known"
    return f"how many strangers it stops {among} is not known: {known}"
