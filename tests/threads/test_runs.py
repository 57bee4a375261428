"""Runs: what comes while others are worked on is worked on together, and nobody waits for company."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gerbang_service.threads.runs import Runs


class Worker:
    """Works on runs; each leaves, and ends, when the test says so."""

    def __init__(self) -> None:
        self.runs: list[Sequence[int]] = []
        self.leave: list[Callable[[], object]] = []
        self.end: list[asyncio.Event] = []

    async def __call__(self, run: Sequence[int], leave: Callable[[], object]) -> None:
        """Work on a run."""
        self.runs.append(run)
        self.leave.append(leave)
        self.end.append(asyncio.Event())
        await self.end[-1].wait()


async def turns() -> None:
    """Let the event loop turn until nothing is left to do."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_comes_in_one_turn_goes_together_and_at_once() -> None:
    """Also a single one: it does not wait for others."""
    worker = Worker()
    runs = Runs(worker)
    runs.add(1)
    await turns()
    assert worker.runs == [[1]]
    worker.end[0].set()
    await turns()
    for each in (2, 3):
        runs.add(each)
    await turns()
    assert worker.runs == [[1], [2, 3]]
    worker.end[1].set()


async def test_what_comes_meanwhile_is_gathered_and_begun_when_that_is_done() -> None:
    """However few they are then."""
    worker = Worker()
    runs = Runs(worker)
    runs.add(1)
    await turns()
    worker.leave[0]()
    for each in (2, 3):
        runs.add(each)
        await turns()
    assert worker.runs == [[1]]
    worker.end[0].set()
    await turns()
    assert worker.runs == [[1], [2, 3]]
    worker.end[1].set()


async def test_much_that_comes_meanwhile_is_begun_beside_and_does_not_overtake() -> None:
    """When the run before it has left; of two that are under way, when one has ended."""
    worker = Worker()
    runs = Runs(worker)
    runs.add(0)
    await turns()
    for each in range(1, 33):
        runs.add(each)
    await turns()
    assert worker.runs == [[0]]
    worker.leave[0]()
    await turns()
    assert worker.runs == [[0], list(range(1, 33))]
    worker.leave[1]()
    for each in range(33, 73):
        runs.add(each)
    await turns()
    assert len(worker.runs) == 2
    worker.end[1].set()
    await turns()
    assert worker.runs[2:] == [list(range(33, 73))]
    for end in worker.end:
        end.set()


async def test_a_run_has_an_end_and_keeps_the_order() -> None:
    """However many wait: the next run has those that follow."""
    worker = Worker()
    runs = Runs(worker)
    for each in range(150):
        runs.add(each)
    await turns()
    while len(worker.runs) < 3:
        worker.end[-1].set()
        await turns()
    assert [each for run in worker.runs for each in run] == list(range(150))
    assert max(map(len, worker.runs)) == 64
    worker.end[-1].set()


async def test_a_run_that_ends_without_leaving_lets_others_go_on() -> None:
    """As one of which nothing was left to be written."""
    worker = Worker()
    runs = Runs(worker)
    runs.add(1)
    await turns()
    runs.add(2)
    worker.end[0].set()
    await turns()
    assert worker.runs == [[1], [2]]
    worker.end[1].set()


async def test_nothing_waits_for_a_run_that_is_stuck() -> None:
    """As while a disk hangs: what comes is looked at, and refused, at once."""
    worker = Worker()
    stuck = False
    runs = Runs(worker, stuck=lambda: stuck)
    for each in range(3):
        runs.add(each)
        await turns()
    worker.leave[0]()
    await turns()
    assert worker.runs == [[0]]
    stuck = True
    runs.add(3)
    await turns()
    assert worker.runs == [[0], [1, 2, 3]]
    for end in worker.end:
        end.set()
