"""What a load test found, for people, as JSON and as a plot."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.loading.histogram import PERCENTILES
from benchmarks.loading.tally import Tally
from benchmarks.machine import describe
from benchmarks.plot import Axis, Series, svg


def line(name: str, tally: Tally) -> str:
    """Return one line for people."""
    latency = tally.latency
    times = ", ".join(f"p{each:g} {latency.percentile(each) * 1e3:.2f}" for each in PERCENTILES)
    parts = [f"{name}: {tally.per_s:,.1f}/s", f"{times}, max {latency.largest_ns / 1e6:.2f} ms"]
    if tally.checked:
        parts.append(f"{tally.missed} of {tally.checked} mates missed")
    if tally.errors:
        counted = ", ".join(f"{count:,} {reason}" for reason, count in tally.errors.most_common())
        parts.append(f"failed: {counted} ({tally.with_retry_info:,} with RetryInfo)")
    if tally.late.count and tally.late.percentile(99) > 0.005:
        parts.append(f"the generator was late: p99 {tally.late.percentile(99) * 1e3:.1f} ms")
    return "; ".join(parts)


def write(path: Path, result: dict[str, Any]) -> None:
    """Write the result and the machine's description as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**result, "machine": describe()}, indent=1) + "\n")


def sweep_plot(title: str, found: Sequence[tuple[float, Tally]]) -> str:
    """Draw latency percentiles over the probes answered a second; `found`: by offered rate. Returns SVG."""
    points = sorted((tally.per_s, tally) for _, tally in found if tally.latency.count)
    if not points:
        raise SystemExit("nothing was answered: there is nothing to plot")
    series = [
        Series(
            f"p{percent:g}",
            [(rate, tally.latency.percentile(percent) * 1e3) for rate, tally in points],
        )
        for percent in PERCENTILES
    ]
    values = [value for each in series for _, value in each.points]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)) + 1e-9)
    x = Axis("probes answered a second", 0.0, 1.05 * points[-1][0])
    y = Axis("latency from the intended time of sending, ms", low, max(high, 10 * low), log=True)
    return svg(title, x, y, series)
