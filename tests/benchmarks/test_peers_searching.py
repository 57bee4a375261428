"""The peers' closed loop and engines answer right, from several clients at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from benchmarks.contenders import FlatPeer, ProductPeer
from benchmarks.contest.closed_loop import Loop, Rows, Vectors, Window
from benchmarks.contest.engines import FlatBatches, Found
from benchmarks.galleries import facelike, facelike_probes

TEMPLATES = facelike(500)
PROBES, MATES = facelike_probes(TEMPLATES, 40, 0.5)


class Comparing:
    """A session that compares with all templates, of which some can be forgotten."""

    def __init__(self, forgotten: Rows) -> None:
        self._kept = np.setdiff1d(np.arange(len(TEMPLATES)), forgotten)

    def answer(self, probes: Vectors) -> Sequence[Sequence[int]]:
        best = (probes @ TEMPLATES[self._kept].T).argmax(axis=1)
        return [[int(self._kept[each])] for each in best]

    def close(self) -> None:
        return


@pytest.mark.parametrize(("clients", "batch"), [(1, 1), (3, 1), (2, 16)])
def test_an_exact_search_misses_nobody(clients: int, batch: int) -> None:
    found = Loop(PROBES, MATES).run(lambda: Comparing(MATES[:0]), clients, batch, Window(0.2, 0.05))
    assert found.missed == 0
    assert 0 < found.answered <= found.checked


def test_every_miss_is_counted() -> None:
    found = Loop(PROBES, MATES).run(lambda: Comparing(MATES), 2, 1, Window(0.2, 0.0))
    assert found.missed == found.checked > 0


def test_what_a_client_raises_is_raised() -> None:
    class Failing(Comparing):
        def answer(self, probes: Vectors) -> Sequence[Sequence[int]]:
            raise ConnectionError(f"{len(probes)} probes refused")

    with pytest.raises(ConnectionError, match="refused"):
        Loop(PROBES, MATES).run(lambda: Failing(MATES), 2, 1, Window(0.2, 0.0))


@pytest.mark.parametrize("engine", [FlatPeer(TEMPLATES).search, ProductPeer(TEMPLATES).search])
async def test_probes_that_arrive_together_share_batches_and_get_their_own_answers(engine: object) -> None:
    sizes: list[int] = []

    def search(probes: Vectors) -> Found:
        sizes.append(len(probes))
        found: Found = engine(probes)  # type: ignore[operator]
        return found

    flat = FlatBatches(search, 16)
    answers = await asyncio.gather(*(flat.one(each) for each in PROBES))
    for mate, probe, (rows, similarities) in zip(MATES, PROBES, answers, strict=True):
        place = rows.tolist().index(mate)
        assert similarities[place] == pytest.approx(probe @ TEMPLATES[mate], abs=1e-5)
    assert max(sizes) == 16
    assert sum(sizes) == len(PROBES)
