"""The plot of a result of `benchmarks.recall`: misses against throughput."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.plot import Axis, Series, svg

_PLANS = ("both", "sweep", "graph")


def recall_chart(result: dict[str, Any]) -> str:
    """Draw a result; returns the text of an SVG file."""
    first = next(iter(result["probes"]))
    series = [_plan(result, plan, first) for plan in _PLANS]
    for index in dict.fromkeys(each["index"] for each in result["hnswlib"]):
        points = [each for each in result["hnswlib"] if each["index"] == index]
        series.append(Series(index, [_place(each) for each in points], labels=[str(each["ef"]) for each in points]))
    series += [
        Series(f"{name} (exact)", [(result["race"][name]["per_s"], 0.0)], line=False)
        for name in ("faiss IndexFlatIP", "matrix product")
    ]
    rates = [x for each in series for x, _ in each.points]
    shares = [y for each in series for _, y in each.points if y > 0]
    x = Axis(
        "searches a second of one core, batches of 32", _decade(min(rates)), 10 * _decade(max(rates) * 0.999), log=True
    )
    least = min(_decade(min(shares, default=0.1)), 0.1)
    y = Axis("mates missed, %", least, 100.0, log=True, zero=True)
    rows, dimension = result["shape"]
    kind = result["gallery"].partition("-")[0]
    similarity = f"similarity {first}" if first.startswith(">") else f"cosine {first}"
    return svg(f"{rows:,} templates of {dimension} dimensions, {kind}; probes at {similarity}", x, y, series)


def _plan(result: dict[str, Any], plan: str, first: str) -> Series:
    default = next(each for each in result["defaults"] if each["plan"] == plan)
    points = [
        each
        for each in result["grid"]
        if each["plan"] == plan and (plan == "graph" or each["bits"] == default["bits"])
        if plan != "both" or each["ef"] == default["ef"]
    ]
    name = "plan graph, by ef" if plan == "graph" else f"plan {plan}, 8 to 128 rescored"
    labels = [str(each["ef"]) for each in points] if plan == "graph" else []
    return Series(name, [_place(each["missed"][first]) for each in points], labels=labels)


def _place(found: dict[str, Any]) -> tuple[float, float]:
    return found["per_s"], 100 * found["missed"] / found["probes"]


def _decade(value: float) -> float:
    return 10.0 ** math.floor(math.log10(value))
