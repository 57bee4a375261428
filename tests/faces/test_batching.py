"""Crops of many threads run as one batch, and each thread gets its own answer, or the error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gerbang_service.faces.batching import Batches
from gerbang_service.faces.packs import open_pack


class Gate:
    """Something to run that waits until it is let go, so that questions can gather behind it."""

    def __init__(self, answer: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
        self.batches: list[int] = []
        self.entered = threading.Event()
        self.open = threading.Event()
        self._answer = answer

    def run(self, questions: Sequence[Any]) -> Sequence[Any]:
        self.batches.append(len(questions))
        self.entered.set()
        assert self.open.wait(10)
        return self._answer(questions)


def ask_while_busy(gate: Gate, largest: int, questions: Sequence[Any]) -> list[Future[Any]]:
    """Ask the first question, the others while it runs, and let go; return what each came to."""
    batches: Batches[Any, Any] = Batches(gate.run, largest)
    with ThreadPoolExecutor(len(questions)) as pool:
        first = pool.submit(batches.ask, questions[0])
        assert gate.entered.wait(10)
        others = [pool.submit(batches.ask, each) for each in questions[1:]]
        while len(batches._waiting) < len(others):
            time.sleep(0.001)
        gate.open.set()
    return [first, *others]


def test_what_arrives_meanwhile_is_the_next_batch() -> None:
    """One question runs at once and alone; seven that come meanwhile run together; each gets its own answer."""
    gate = Gate(lambda questions: [each * 10 for each in questions])
    outcomes = ask_while_busy(gate, 32, range(8))
    assert gate.batches == [1, 7]
    assert [each.result() for each in outcomes] == [0, 10, 20, 30, 40, 50, 60, 70]


def test_no_batch_is_larger_than_the_cap() -> None:
    """Ten questions behind one run in batches of at most four, and all are answered."""
    gate = Gate(lambda questions: [-each for each in questions])
    outcomes = ask_while_busy(gate, 4, range(11))
    assert gate.batches == [1, 4, 4, 2]
    assert [each.result() for each in outcomes] == [-each for each in range(11)]


def test_an_error_reaches_everyone_in_the_batch_and_nobody_else() -> None:
    """A batch that fails raises in each of its callers; the one before and the one after are answered."""

    def answer(questions: Sequence[int]) -> Sequence[int]:
        if len(questions) == 3:
            raise RuntimeError("device lost")
        return questions

    outcomes = ask_while_busy(Gate(answer), 3, range(6))
    failed = [each for each in outcomes if each.exception() is not None]
    assert len(failed) == 3
    assert all(str(each.exception()) == "device lost" for each in failed)
    assert {each.result() for each in outcomes if each not in failed} <= set(range(6))
    assert len(outcomes) - len(failed) == 3


def test_too_few_answers_are_an_error() -> None:
    """A run that returns fewer answers than questions is an error for its callers, not a wait without end."""
    with pytest.raises(ValueError, match="shorter"):
        Batches[int, int](lambda _: [], 4).ask(1)


def test_many_threads_all_get_their_own_answers() -> None:
    """2,000 questions of 16 threads, in whatever batches come about, are each answered once."""
    asked: list[int] = []

    def answer(questions: Sequence[int]) -> list[int]:
        asked.extend(questions)  # never two at once, so no lock
        return [each + 1 for each in questions]

    batches = Batches(answer, 5)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(batches.ask, range(2000))) == list(range(1, 2001))
    assert sorted(asked) == list(range(2000))


def test_a_batch_of_crops_gives_the_templates_of_each_alone(real_pack: Path) -> None:
    """The real recogniser gives sixteen crops in batches the templates that it gives each alone."""
    embedder = open_pack(str(real_pack), 160).embedder
    random = np.random.default_rng(3)
    crops: list[NDArray[np.uint8]] = [
        random.integers(0, 256, (embedder.side, embedder.side, 3), dtype=np.uint8) for _ in range(16)
    ]
    gate = Gate(embedder.embed)
    outcomes = ask_while_busy(gate, 32, crops)
    assert embedder.takes_batches
    assert gate.batches == [1, 15]
    for crop, outcome in zip(crops, outcomes, strict=True):
        assert float(embedder.embed([crop])[0] @ outcome.result()) >= 0.99999
