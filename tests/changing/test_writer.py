"""The one writer: whoever submits a change is answered, and old answers to requests are forgotten meanwhile."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from gerbang_service.changing import forgetting
from gerbang_service.changing.writer import Writer
from gerbang_service.domain.errors import ShuttingDown, StoreUnavailable
from gerbang_service.store.memory import MemoryStore
from store.writes import Mirror, answer, put, put_list, wrote

WAIT_S = 5.0
KEPT_S = 3600.0


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore("m")


@pytest.fixture
def make(store: MemoryStore) -> Iterator[Callable[[], Writer]]:
    """Lend what makes a writer and starts it; all are stopped in the end."""
    made: list[Writer] = []

    def writer() -> Writer:
        made.append(
            Writer(
                store,
                Mirror(store),
                max_pending=10,
                answers_kept_s=KEPT_S,
                on_revision=lambda _: None,
                on_failure=lambda: None,
            )
        )
        made[-1].start()
        return made[-1]

    yield writer
    for each in made:
        each.stop()


def refused(*_: Any) -> None:
    raise StoreUnavailable("nothing can be written")


def test_a_change_is_written_and_told(store: MemoryStore, make: Callable[[], Writer]) -> None:
    """What a change answers comes when it is stored."""
    writer = make()
    writer.submit(put_list("v")).result(WAIT_S)
    assert writer.submit(put("a", "v", seeds=[1])).result(WAIT_S) == [1]
    with store.reading() as reader:
        assert reader.subject_counts() == {"v": 1}


def test_a_group_is_told_where_it_is_waited_for(store: MemoryStore, make: Callable[[], Writer]) -> None:
    """By one function for all of it, which whoever waits has run in a thread of its own choice."""
    writer = make()
    tellings: queue.Queue[Callable[[], object]] = queue.Queue()
    writer.tell = tellings.put
    change = writer.submit(put_list("v"))
    telling = tellings.get(timeout=WAIT_S)
    with store.reading() as reader:
        assert reader.watchlist("v") is not None
    assert not change.done()
    telling()
    assert change.done()


def test_who_submits_just_as_the_writer_ends_is_told(
    make: Callable[[], Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that passed the door before it closed, and came after the last look, is refused, never left waiting."""
    writer = make()
    arrive = writer.waiting.put

    def late(item: Any) -> None:
        monkeypatch.undo()
        writer.stop()
        arrive(item)

    monkeypatch.setattr(writer.waiting, "put", late)
    change: Future[None] = writer.submit(put_list("v"))
    assert isinstance(change.exception(WAIT_S), ShuttingDown)


def test_those_whose_group_failed_do_not_share_an_error(store: MemoryStore, make: Callable[[], Writer]) -> None:
    """What is noted on one caller's exception is not on another's; once the disk takes changes, all goes on."""
    writer = make()
    store.broken = "the disk is full"
    errors = [writer.submit(put_list(each)).exception(WAIT_S) for each in "vw"]
    assert all(isinstance(each, StoreUnavailable) for each in errors)
    assert errors[0] is not errors[1]
    assert not writer.writable
    store.broken = ""
    deadline = time.monotonic() + WAIT_S
    while not writer.writable:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert writer.submit(put("a")).result(WAIT_S) == []


def test_while_the_disk_takes_no_changes_forgetting_neither_spins_nor_says_that_it_does(
    store: MemoryStore, make: Callable[[], Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to forget, so nothing is written: that is no sign of a disk with room."""
    monkeypatch.setattr(forgetting, "_EVERY_S", 0.05)
    store.broken = "the disk is full"
    writer, written, write = make(), [], store.write
    assert writer.submit(put_list("v")).exception(WAIT_S) is not None

    def counted(*args: Any, **options: Any) -> Any:
        written.append(args)
        return write(*args, **options)

    monkeypatch.setattr(store, "write", counted)
    # So does a full disk answer what changes nothing.
    monkeypatch.setattr(store, "probe", refused)
    store.broken = ""
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        assert not writer.writable
        time.sleep(0.01)
    assert not written


def test_old_answers_are_forgotten_without_any_change(
    store: MemoryStore, make: Callable[[], Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, a few at a time; one that is not older than it is kept stays."""
    now, old = time.time_ns(), time.time_ns() - int((KEPT_S + 60) * 1e9)
    monkeypatch.setattr(forgetting, "_AT_ONCE", 15)
    wrote(store, put("a"), *(answer(f"old-{each}", "a", old + each) for each in range(40)), answer("new", "a", now))
    make()
    deadline = time.monotonic() + WAIT_S
    while True:
        with store.reading() as reader:
            if all(reader.answered(f"old-{each}") is None for each in range(40)):
                break
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with store.reading() as reader:
        assert reader.answered("new") is not None
