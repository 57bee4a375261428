"""The batcher: many calls share a search, and none is harmed by the company it keeps."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from gerbang_service.domain.decision import Candidate
from gerbang_service.domain.errors import DeadlineTooShort, Overloaded
from gerbang_service.domain.questions import Plan
from gerbang_service.gallery.search import Query
from gerbang_service.gallery.selection import Filter
from gerbang_service.threads.admission import Admission, Deadline
from gerbang_service.threads.batcher import LARGEST_BATCH, Answers, Batcher

FOREVER = Deadline.after(None)


def query(number: int) -> Query:
    """Make a query that is told apart by its limit."""
    return Query(np.ones(4, np.float32), Plan.BOTH, Filter(None, 0), 0.5, number, lambda _: None)


class Recorder:
    """Answers each query with a candidate named by its limit, once `open` is set; remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = threading.Event()
        self.open.set()
        self.begun = threading.Event()

    def __call__(self, queries: Sequence[Query]) -> Answers:
        self.begun.set()
        assert self.open.wait(10)
        self.batches.append([each.limit for each in queries])
        if any(each.limit == 13 for each in queries):
            raise RuntimeError("unlucky")
        return [[Candidate(str(each.limit), 1.0, 0.5, each.limit)] for each in queries]


@asynccontextmanager
async def batcher(
    search: Callable[[Sequence[Query]], Answers], threads: int = 1, limit: int = 1000
) -> AsyncIterator[Any]:
    """Run a batcher."""
    made = Batcher(search, threads, Admission("searches", limit))
    try:
        yield made
    finally:
        await asyncio.to_thread(made.stop)


def names(answers: Answers) -> list[str]:
    return [found[0].subject_id for found in answers]


async def test_calls_that_arrive_during_a_search_share_the_next() -> None:
    """While one batch is searched arriving queries queue, and the next batch takes all of them."""
    search = Recorder()
    search.open.clear()
    async with batcher(search) as searches:
        first = asyncio.create_task(searches.run([query(1)], FOREVER))
        await asyncio.to_thread(search.begun.wait)
        others = [asyncio.create_task(searches.run([query(number)], FOREVER)) for number in (2, 3, 4)]
        await asyncio.sleep(0.05)
        search.open.set()
        assert [names(each) for each in await asyncio.gather(first, *others)] == [["1"], ["2"], ["3"], ["4"]]
    assert search.batches == [[1], [2, 3, 4]]


async def test_large_call_is_split_and_answered_in_order() -> None:
    """A call of more queries than a batch holds gets its answers in their order, from batches within the cap."""
    search = Recorder()
    numbers = list(range(100, 100 + 3 * LARGEST_BATCH + 5))
    async with batcher(search, threads=2) as searches:
        assert names(await searches.run([query(each) for each in numbers], FOREVER)) == [str(each) for each in numbers]
    assert max(map(len, search.batches)) <= LARGEST_BATCH


async def test_late_calls_are_not_searched_and_harm_no_other() -> None:
    """Calls whose deadline passed while they waited fail with DeadlineTooShort; the rest of the batch is answered."""
    search = Recorder()
    search.open.clear()
    async with batcher(search) as searches:
        first = asyncio.create_task(searches.run([query(1)], FOREVER))
        await asyncio.to_thread(search.begun.wait)
        late = [asyncio.create_task(searches.run([query(number)], Deadline.after(0.01))) for number in (2, 3, 4)]
        in_time = asyncio.create_task(searches.run([query(5)], FOREVER))
        await asyncio.sleep(0.1)
        search.open.set()
        outcomes = await asyncio.gather(first, *late, in_time, return_exceptions=True)
        assert [type(each) for each in outcomes[1:4]] == [DeadlineTooShort] * 3
        assert names(outcomes[4]) == ["5"]  # type: ignore[arg-type]  # not an exception
        assert names(await searches.run([query(6)], FOREVER)) == ["6"]
    assert search.batches == [[1], [5], [6]]


async def test_call_whose_caller_has_gone_is_not_searched() -> None:
    """A call that was cancelled while it waited is left out."""
    search = Recorder()
    search.open.clear()
    async with batcher(search) as searches:
        first = asyncio.create_task(searches.run([query(1)], FOREVER))
        await asyncio.to_thread(search.begun.wait)
        gone = asyncio.create_task(searches.run([query(2)], FOREVER))
        await asyncio.sleep(0.05)
        gone.cancel()
        await asyncio.sleep(0)
        search.open.set()
        assert names(await first) == ["1"]
    assert search.batches == [[1]]


async def test_failing_query_fails_its_own_call_only() -> None:
    """An exception in a batch reaches the call that causes it; the others are answered."""
    search = Recorder()
    async with batcher(search) as searches:
        outcomes = await asyncio.gather(
            *(searches.run([query(number)], FOREVER) for number in (12, 13, 14)), return_exceptions=True
        )
    assert names(outcomes[0]) == ["12"]  # type: ignore[arg-type]
    assert isinstance(outcomes[1], RuntimeError)
    assert names(outcomes[2]) == ["14"]  # type: ignore[arg-type]


async def test_over_the_bound_is_overloaded_at_once() -> None:
    """More calls than may wait are refused without waiting, and places come free again."""
    search = Recorder()
    search.open.clear()
    async with batcher(search, limit=2) as searches:
        waiting = [asyncio.create_task(searches.run([query(number)], FOREVER)) for number in (1, 2)]
        await asyncio.sleep(0.05)
        with pytest.raises(Overloaded):
            await searches.run([query(3)], FOREVER)
        search.open.set()
        await asyncio.gather(*waiting)
        assert names(await searches.run([query(4)], FOREVER)) == ["4"]


async def test_length_and_limit_are_both_of_queries() -> None:
    """A call of many queries takes a place for each of them, and all of them are admitted or none."""
    search = Recorder()
    search.open.clear()
    async with batcher(search, limit=3 * LARGEST_BATCH) as searches:
        many = [query(number) for number in range(100, 100 + 2 * LARGEST_BATCH)]
        first, second = (asyncio.create_task(searches.run(many, FOREVER)) for _ in range(2))
        await asyncio.sleep(0.05)
        assert (searches.pending, searches.limit) == (4 * LARGEST_BATCH, 3 * LARGEST_BATCH)
        with pytest.raises(Overloaded):
            await searches.run(many, FOREVER)
        search.open.set()
        await asyncio.gather(first, second)
        assert searches.pending == 0


async def test_the_limit_is_the_one_that_refuses() -> None:
    """When those who are searched have waited for long, fewer may wait than are admitted, and the limit says so."""

    def slow(queries: Sequence[Query]) -> Answers:
        time.sleep(0.02 * len(queries))
        return [[] for _ in queries]

    async with batcher(slow, limit=1000) as searches:
        assert searches.limit == 1000
        waiting = [asyncio.create_task(searches.run([query(1)], FOREVER)) for _ in range(60)]
        deadline = time.monotonic() + 10
        while searches.limit == 1000:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        # As many as are searched in 0.7 seconds.
        before, limit = searches.pending, searches.limit
        assert 10 < limit <= 35
        more = [asyncio.create_task(searches.run([query(1)], FOREVER)) for _ in range(60)]
        await asyncio.sleep(0)
        assert abs(searches.pending - max(before, limit + 1)) <= 3
        outcomes = await asyncio.gather(*waiting, *more, return_exceptions=True)
        assert any(isinstance(each, Overloaded) for each in outcomes)
