"""What a contest found: rates of alternating rounds, misses, ratios; for people and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.contest.bars import Bar, bar_chart
from benchmarks.contest.closed_loop import Measured
from benchmarks.contest.tuning import MOST_MISSED, Setting, few

OURS = "Gerbang"
NO_OP = "no-op RPC"
# What one machine must show at 100,000 templates; see docs/performance.md.
GOALS = {"hnswlib-only service": 10, "pgvector": 10, "Milvus Lite": 20}


@dataclass(slots=True)
class Standing:
    """One contender with one size of batch: its setting and every round's rate; misses of all answers that counted."""

    name: str
    setting: Setting
    rates: list[float] = field(default_factory=list)
    total: Measured = field(default_factory=Measured)

    def add(self, round_: Measured) -> None:
        """Count a round."""
        self.rates.append(round_.per_s)
        self.total.add(round_)

    @property
    def per_s(self) -> float:
        """Probes a second: the rounds' median."""
        return statistics.median(self.rates)

    @property
    def key(self) -> str:
        """Its name with the size of a batch."""
        return self.name if self.setting.batch == 1 else f"{self.name}, {self.setting.batch} a call"


def ratio(ours: Standing, other: Standing) -> float:
    """Return how many times as fast `ours` is: the median over the rounds, each of which compares neighbours."""
    return statistics.median(a / b if b else float("inf") for a, b in zip(ours.rates, other.rates, strict=True))


def verdicts(standings: Sequence[Standing]) -> list[str]:
    """Return a line for each goal, for single probes: whether it is reached, and of how many misses that says so."""
    single = [each for each in standings if each.setting.batch == 1]
    ours = next((each for each in single if each.name == OURS), None)
    if ours is None:
        return [f"{OURS} was NOT MEASURED: there is nothing to compare"]
    lines = []
    for other in single:
        goal = next((times for name, times in GOALS.items() if other.name.startswith(name)), None)
        if goal is not None:
            found = ratio(ours, other)
            word = "reached" if found >= goal else "NOT REACHED"
            lines.append(f"{found:.1f}x {other.name} (goal: {goal}x): {word}")
    lines += [f"{each.key} MISSED MORE than {MOST_MISSED:.1%}" for each in standings if not few(each.total)]
    return lines


def table(standings: Sequence[Standing]) -> str:
    """Return a Markdown table; ratios are to this service with the same size of batch."""
    rows = [["contender", "probes/s (median)", "least to most", "missed", f"{OURS} is x as fast", "setting"]]
    for each in standings:
        ours = next((own for own in standings if own.name == OURS and own.setting.batch == each.setting.batch), None)
        missed = f"{each.total.missed} of {each.total.checked:,}" if each.total.checked else "answers nobody"
        times = "" if ours is None or each is ours else _short(ratio(ours, each))
        span = f"{_short(min(each.rates))} to {_short(max(each.rates))}"
        rows.append([each.key, _short(each.per_s), span, missed, times, each.setting.text])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def chart(standings: Sequence[Standing], size: int) -> str:
    """Draw single probes, from the fastest to the slowest; returns SVG."""
    single = sorted((each for each in standings if each.setting.batch == 1), key=lambda each: -each.per_s)
    bars = [
        Bar(each.name, each.per_s, min(each.rates), max(each.rates), accented=each.name == OURS)
        for each in single
        if min(each.rates) > 0
    ]
    title = f"{size:,} face-like templates, one probe a call, at most 1 in 1,000 mates missed at cosine 0.5"
    return bar_chart(title, "probes a second (median, least and most of the rounds)", bars)


def as_json(standings: Sequence[Standing], versions: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    """Return one record a standing."""
    ours = {each.setting.batch: each for each in standings if each.name == OURS}
    return [
        {
            "name": each.name,
            "probes_a_call": each.setting.batch,
            "calls_in_flight": each.setting.clients,
            "setting": dict(each.setting.options),
            "versions": dict(versions.get(each.name, {})),
            "per_s": round(each.per_s, 2),
            "rounds_per_s": [round(rate, 2) for rate in each.rates],
            "missed": each.total.missed,
            "checked": each.total.checked,
            "ours_is_x_as_fast": round(ratio(ours[each.setting.batch], each), 2)
            if each.setting.batch in ours
            else None,
        }
        for each in standings
    ]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
