"""A contender's best setting is the fastest of those that miss little enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from benchmarks.contest.closed_loop import Measured
from benchmarks.contest.contenders import Unable
from benchmarks.contest.tuning import Entry, Tuner, few


class Scripted:
    """A contender whose settings say how fast it is and how much it misses."""

    name = "scripted"

    def __init__(self) -> None:
        self._options: Mapping[str, Any] = {}

    def apply(self, options: Mapping[str, Any]) -> None:
        if "refused" in options:
            raise Unable(options["refused"])
        self._options = options

    def measure(self, clients: int, batch: int, seconds: float) -> Measured:
        rate = self._options["per_s"] * (1 if clients == self._options.get("suits", clients) else 0.5) * batch
        checked = int(rate * seconds)
        return Measured(checked, seconds, int(checked * self._options.get("misses", 0.0)), checked)

    def versions(self) -> dict[str, str]:
        return {}

    def close(self) -> None:
        return


def best(*ladders: list[dict[str, Any]], clients: Mapping[int, tuple[int, ...]] | None = None) -> list[Any]:
    said: list[str] = []
    entry = Entry(Scripted(), ladders, clients or {1: (2,)})
    return Tuner(1.0, 2000, said.append).best(entry)


def test_the_first_rung_that_misses_little_enough_is_kept() -> None:
    rungs = [{"per_s": 900, "misses": 0.05}, {"per_s": 500, "misses": 0.0}, {"per_s": 800, "misses": 0.0}]
    assert best(rungs)[0].options == rungs[1]


def test_the_fastest_ladder_wins_unless_it_misses() -> None:
    exact, hasty = {"per_s": 300}, {"per_s": 9000, "misses": 0.01}
    assert best([exact], [hasty])[0].options == exact
    assert best([exact], [{"per_s": 600}])[0].options == {"per_s": 600}


def test_each_size_of_batch_gets_the_calls_in_flight_that_suit_it() -> None:
    chosen = best([{"per_s": 500, "suits": 8}], clients={1: (2, 8, 32), 64: (8, 4)})
    assert [(each.batch, each.clients) for each in chosen] == [(1, 8), (64, 8)]


def test_a_refused_setting_is_said_and_the_rest_goes_on() -> None:
    said: list[str] = []
    entry = Entry(Scripted(), [[{"refused": "no such index"}], [{"per_s": 700}]], {1: (2,)})
    assert Tuner(1.0, 2000, said.append).best(entry)[0].options == {"per_s": 700}
    assert any("LEFT OUT: no such index" in line for line in said)


def test_without_a_setting_that_misses_little_enough_there_is_none() -> None:
    with pytest.raises(Unable, match="no setting misses at most"):
        best([{"per_s": 900, "misses": 0.05}])


@pytest.mark.parametrize(("lost", "enough"), [(0, True), (2, True), (3, False)])
def test_few_is_one_in_a_thousand(lost: int, *, enough: bool) -> None:
    assert few(Measured(0, 0.0, lost, 2000)) is enough
