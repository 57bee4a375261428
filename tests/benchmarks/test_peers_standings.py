"""What a contest says of its rounds: ratios, goals, misses, and the plot."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from benchmarks.contest.closed_loop import Measured
from benchmarks.contest.standings import OURS, Standing, as_json, chart, ratio, table, verdicts
from benchmarks.contest.tuning import Setting


def standing(name: str, *rates: float, missed: int = 0, batch: int = 1) -> Standing:
    made = Standing(name, Setting({"plan": "x"}, 4, batch))
    for each in rates:
        made.add(Measured(int(each), 1.0, 0, int(each)))
    made.total.missed = missed
    return made


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """A slow round of the machine meets both of its neighbours, and cancels out."""
    assert ratio(standing(OURS, 1000, 200, 900), standing("pgvector", 100, 20, 100)) == 10


def test_a_goal_that_is_not_reached_is_said_loudly() -> None:
    lines = verdicts([standing(OURS, 1000), standing("pgvector", 90), standing("Milvus Lite 3", 100)])
    assert lines == [
        "11.1x pgvector (goal: 10x): reached",
        "10.0x Milvus Lite 3 (goal: 20x): NOT REACHED",
    ]


def test_who_missed_too_much_is_named() -> None:
    assert verdicts([standing(OURS, 1000), standing("flat", 1000, missed=2)]) == ["flat MISSED MORE than 0.1%"]


def test_without_this_service_nothing_is_compared() -> None:
    assert "NOT MEASURED" in verdicts([standing("pgvector", 90)])[0]
    assert as_json([standing("pgvector", 90)], {})[0]["ours_is_x_as_fast"] is None


def test_batches_are_compared_with_batches() -> None:
    found = [standing(OURS, 1000), standing(OURS, 4000, batch=64), standing("flat", 2000, batch=64)]
    assert [each["ours_is_x_as_fast"] for each in as_json(found, {})] == [1.0, 1.0, 2.0]
    assert "| flat, 64 a call | 2,000 |" in table(found)


def test_the_chart_is_svg_with_a_bar_for_each_who_answers_single_probes() -> None:
    found = [standing(OURS, 1000), standing("a & b", 9), standing("flat", 5, batch=64)]
    drawn = ET.fromstring(chart(found, 100_000))  # noqa: S314 - this project's own
    texts = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert "a & b" in texts
    assert "flat" not in texts
