"""The results as Markdown tables, for docs/search.md: `python -m benchmarks.tables`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> None:
    """Print a table for every result."""
    for path in sorted(RESULTS.glob("recall-*.json")):
        print(f"\n### {path.stem}\n\n{recall_tables(json.loads(path.read_text()))}")
    path = RESULTS / "scale.json"
    if path.exists():
        print(f"\n### scale\n\n{scale_table(json.loads(path.read_text())['sizes'])}")


def recall_tables(result: dict[str, Any]) -> str:
    """Return the misses of the default plans, hnswlib's curve, and the race."""
    names = list(result["probes"])
    tops = [f"{each['mate_is_exact_top1']:,}" for each in result["probes"].values()]
    rows = [["plan", *(f"missed at {name} of {top}" for name, top in zip(names, tops, strict=True))]]
    rows += [[each["name"], *(str(each["missed"][name]["missed"]) for name in names)] for each in result["defaults"]]
    tables = [_table(rows)]
    if result["hnswlib"]:
        rows = [["index", "ef", f"missed at {names[0]}", "searches/s"]]
        rows += [
            [each["index"], str(each["ef"]), f"{each['missed']} of {each['probes']}", f"{each['per_s']:,.0f}"]
            for each in result["hnswlib"]
        ]
        tables.append(_table(rows))
    rows = [["raced", "searches/s (median)", "least to most", "both is x as fast", "sweep is x as fast"]]
    for name, each in result["race"].items():
        ratios = [f"{result['race'][plan]['per_s'] / each['per_s']:.1f}" for plan in ("both", "sweep")]
        rows.append([name, f"{each['per_s']:,.0f}", f"{each['least']:,.0f} to {each['most']:,.0f}", *ratios])
    tables.append(_table(rows))
    rows = [["single search, us", "p50", "p99", "p50 of processor time", "p99 of processor time"]]
    rows += [
        [plan, *(f"{each[key]:,.0f}" for key in ("p50", "p99", "processor_p50", "processor_p99"))]
        for plan, each in result["single_search_us"].items()
    ]
    return "\n\n".join([*tables, _table(rows)])


def scale_table(sizes: dict[str, Any]) -> str:
    """Return the table of `benchmarks.scale`."""
    rows = [["", *(f"{int(size):,} templates" for size in sizes)]]
    ms = [
        ("Identify over the wire, graph not complete", "identify_while_graph_grows_us"),
        ("Identify over the wire, later", "identify_us"),
        ("engine in-process, plan both", "engine_both_us"),
    ]
    cells = (f"{each['ready_s']} ({each['ready_processor_s']})" for each in sizes.values())
    rows.append(["seconds until ready (of processor time)", *cells])
    for title, key in (("ready", "memory_ready_mib"), ("later", "memory_later_mib")):
        cells = (f"{each[key]['VmRSS']:,} ({each[key]['VmHWM']:,})" for each in sizes.values())
        rows.append([f"resident memory {title} (most), MiB", *cells])
    cells = (f"{each['graph']['indexed']:,} after {each['graph']['waited_s']:.0f} s" for each in sizes.values())
    rows.append(["templates in the graph", *cells])
    for title, key in ms:
        rows.append([f"{title}: p50 / p99, ms", *(_milliseconds(each.get(key)) for each in sizes.values())])
    rates = (each.get("enrol_stream_per_s") for each in sizes.values())
    rows.append(["EnrollStream, subjects/s", *("not measured" if rate is None else f"{rate:,.0f}" for rate in rates)])
    return _table(rows)


def _milliseconds(found: dict[str, float] | None) -> str:
    if found is None:
        return "not measured"
    text = f"{found['p50'] / 1000:.2f} / {found['p99'] / 1000:.2f}"
    if "processor_p50" in found:
        text += f" (processor {found['processor_p50'] / 1000:.2f} / {found['processor_p99'] / 1000:.2f})"
    return text


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


if __name__ == "__main__":
    main()
