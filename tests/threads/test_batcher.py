"""The batcher: many calls share a search, and none is harmed by the company it keeps."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gerbang_service.domain.errors import DeadlineTooShort, Overloaded
from gerbang_service.threads.admission import Admission, Deadline
from gerbang_service.threads.batcher import LARGEST_BATCH, Batcher

FOREVER = Deadline.after(None)


class Recorder:
    """Answers each number with itself as a word, once `open` is set; remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = threading.Event()
        self.open.set()
        self.begun = threading.Event()

    def __call__(self, numbers: Sequence[int]) -> list[str]:
        self.begun.set()
        assert self.open.wait(10)
        self.batches.append(list(numbers))
        if 13 in numbers:
            raise RuntimeError("unlucky")
        return list(map(str, numbers))


@asynccontextmanager
async def batcher(
    search: Callable[[Sequence[int]], Sequence[str]],
    threads: int = 1,
    limit: int = 1000,
    at_once: Callable[[int], str | None] | None = None,
) -> AsyncIterator[Any]:
    """Run a batcher."""
    made = Batcher(search, threads, Admission("searches", limit), at_once=at_once)
    try:
        yield made
    finally:
        await asyncio.to_thread(made.stop)


async def test_calls_that_arrive_during_a_search_share_the_next() -> None:
    """While one batch is searched arriving queries queue, and the next batch takes all of them."""
    search = Recorder()
    search.open.clear()
    async with batcher(search) as searches:
        first = asyncio.create_task(searches.run([1], FOREVER))
        await asyncio.to_thread(search.begun.wait)
        others = [asyncio.create_task(searches.run([number], FOREVER)) for number in (2, 3, 4)]
        await asyncio.sleep(0.05)
        search.open.set()
        assert await asyncio.gather(first, *others) == [["1"], ["2"], ["3"], ["4"]]
    assert search.batches == [[1], [2, 3, 4]]


async def test_large_call_is_split_and_answered_in_order() -> None:
    """A call of more queries than a batch holds gets its answers in their order, from batches within the cap."""
    search = Recorder()
    numbers = list(range(100, 100 + 3 * LARGEST_BATCH + 5))
    async with batcher(search, threads=2) as searches:
        assert list(await searches.run(numbers, FOREVER)) == [str(each) for each in numbers]
    assert max(map(len, search.batches)) <= LARGEST_BATCH


async def test_late_calls_are_not_searched_and_harm_no_other() -> None:
    """Calls whose deadline passed while they waited fail with DeadlineTooShort; the rest of the batch is answered."""
    search = Recorder()
    search.open.clear()
    async with batcher(search) as searches:
        first = asyncio.create_task(searches.run([1], FOREVER))
        await asyncio.to_thread(search.begun.wait)
        late = [asyncio.create_task(searches.run([number], Deadline.after(0.01))) for number in (2, 3, 4)]
        in_time = asyncio.create_task(searches.run([5], FOREVER))
        await asyncio.sleep(0.1)
        search.open.set()
        outcomes = await asyncio.gather(first, *late, in_time, return_exceptions=True)
        assert [type(each) for each in outcomes[1:4]] == [DeadlineTooShort] * 3
        assert outcomes[4] == ["5"]
        assert list(await searches.run([6], FOREVER)) == ["6"]
    assert search.batches == [[1], [5], [6]]


async def test_call_whose_caller_has_gone_is_not_searched() -> None:
    """A call that was cancelled while it waited is left out."""
    search = Recorder()
    search.open.clear()
    async with batcher(search) as searches:
        first = asyncio.create_task(searches.run([1], FOREVER))
        await asyncio.to_thread(search.begun.wait)
        gone = asyncio.create_task(searches.run([2], FOREVER))
        await asyncio.sleep(0.05)
        gone.cancel()
        await asyncio.sleep(0)
        search.open.set()
        assert await first == ["1"]
    assert search.batches == [[1]]


async def test_failing_query_fails_its_own_call_only() -> None:
    """An exception in a batch reaches the call that causes it; the others are answered."""
    search = Recorder()
    async with batcher(search) as searches:
        outcomes = await asyncio.gather(
            *(searches.run([number], FOREVER) for number in (12, 13, 14)), return_exceptions=True
        )
    assert outcomes[0] == ["12"]
    assert isinstance(outcomes[1], RuntimeError)
    assert outcomes[2] == ["14"]


async def test_over_the_bound_is_overloaded_at_once() -> None:
    """More calls than may wait are refused without waiting, and places come free again."""
    search = Recorder()
    search.open.clear()
    async with batcher(search, limit=2) as searches:
        waiting = [asyncio.create_task(searches.run([number], FOREVER)) for number in (1, 2)]
        await asyncio.sleep(0.05)
        with pytest.raises(Overloaded):
            await searches.run([3], FOREVER)
        search.open.set()
        await asyncio.gather(*waiting)
        assert list(await searches.run([4], FOREVER)) == ["4"]


async def test_length_and_limit_are_both_of_queries() -> None:
    """A call of many queries takes a place for each of them, and all of them are admitted or none."""
    search = Recorder()
    search.open.clear()
    async with batcher(search, limit=3 * LARGEST_BATCH) as searches:
        many = list(range(100, 100 + 2 * LARGEST_BATCH))
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

    def slow(numbers: Sequence[int]) -> list[str]:
        time.sleep(0.02 * len(numbers))
        return list(map(str, numbers))

    async with batcher(slow, limit=1000) as searches:
        assert searches.limit == 1000
        waiting = [asyncio.create_task(searches.run([1], FOREVER)) for _ in range(60)]
        deadline = time.monotonic() + 10
        while searches.limit == 1000:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        # As many as are searched in 0.7 seconds.
        before, limit = searches.pending, searches.limit
        assert 10 < limit <= 35
        more = [asyncio.create_task(searches.run([1], FOREVER)) for _ in range(60)]
        await asyncio.sleep(0)
        assert abs(searches.pending - max(before, limit + 1)) <= 3
        outcomes = await asyncio.gather(*waiting, *more, return_exceptions=True)
        assert any(isinstance(each, Overloaded) for each in outcomes)


async def test_what_costs_little_is_answered_in_the_event_loop() -> None:
    """Once a question is known to cost less than a hand-over, no thread is asked."""
    search = Recorder()
    async with batcher(search, at_once=lambda number: f"at once {number}") as searches:
        assert await searches.run([1], FOREVER) == ["1"]  # what one costs is not known yet
        assert await searches.run([2], FOREVER) == ["at once 2"]
    assert search.batches == [[1]]


async def test_what_costs_much_is_left_to_the_threads() -> None:
    """Nobody waits in the event loop for a search that takes long."""

    def slow(numbers: Sequence[int]) -> list[str]:
        end = time.thread_time() + 0.002
        while time.thread_time() < end:
            pass
        return list(map(str, numbers))

    async with batcher(slow, at_once=lambda number: f"at once {number}") as searches:
        for number in range(5):
            assert await searches.run([number], FOREVER) == [str(number)]


async def test_what_becomes_dear_goes_back_to_the_threads() -> None:
    """As a gallery grows, what was answered in the event loop is not any more."""

    def dear(number: int) -> str:
        time.sleep(0.001)
        return f"at once {number}"

    async with batcher(Recorder(), at_once=dear) as searches:
        await searches.run([0], FOREVER)
        answers = []
        for number in range(2000):
            answers += await searches.run([number], FOREVER)
            await asyncio.sleep(0)
    assert answers[0] == "at once 0"
    assert any(each.isdecimal() for each in answers)


async def test_what_can_not_be_answered_at_once_is_searched() -> None:
    """A question that would hold up the event loop waits for a thread, also where others cost little."""
    search = Recorder()
    async with batcher(search, at_once=lambda _: None) as searches:
        assert [await searches.run([number], FOREVER) for number in (1, 2)] == [["1"], ["2"]]
    assert search.batches == [[1], [2]]


async def test_a_call_of_many_queries_is_never_answered_in_the_event_loop() -> None:
    """Together they take long, however little each costs."""
    search = Recorder()
    async with batcher(search, at_once=lambda number: f"at once {number}") as searches:
        await searches.run([1], FOREVER)
        assert await searches.run([2, 3], FOREVER) == ["2", "3"]


async def test_of_what_arrives_together_one_is_answered_in_the_event_loop() -> None:
    """The others are for threads, which search them together on another processor."""
    search = Recorder()
    async with batcher(search, at_once=lambda number: f"at once {number}") as searches:
        await searches.run([1], FOREVER)
        assert await asyncio.gather(*(searches.run([number], FOREVER) for number in (2, 3, 4))) == [
            ["at once 2"],
            ["3"],
            ["4"],
        ]
    assert search.batches == [[1], [3, 4]]


async def test_what_has_company_is_not_answered_in_the_event_loop() -> None:
    """More of a stream is on its way: together, in threads, it costs less."""
    search = Recorder()
    async with batcher(search, at_once=lambda number: f"at once {number}") as searches:
        await searches.run([1], FOREVER)
        assert await searches.run([2], FOREVER, alone=False) == ["2"]
    assert search.batches == [[1], [2]]
