"""Reading beside changes: made again when disturbed, and made in the end."""

from __future__ import annotations

import threading
import time

import pytest

from gerbang_service.gallery.consistency import Consistency


def test_what_was_disturbed_is_made_again() -> None:
    """Something taken away while it is read: the result is of after."""
    consistency, seen = Consistency(), [1]

    def read(_: object) -> int:
        first = seen[0]
        if first == 1:
            with consistency.taking_away():
                seen[0] = 2
        return first

    assert consistency.read(read) == 2


def test_what_fails_as_it_is_disturbed_is_made_again() -> None:
    """Half of a state may make no sense: what is raised then is nobody's."""
    consistency, rows = Consistency(), [0]

    def read(_: object) -> int:
        if rows:
            with consistency.taking_away():
                rows.clear()
            return rows[0]
        return 7

    assert consistency.read(read) == 7


def test_what_fails_undisturbed_is_raised() -> None:
    """An error of the search's own reaches who asked."""
    with pytest.raises(ZeroDivisionError):
        Consistency().read(lambda _: 1 // 0)


def test_a_change_under_way_is_waited_for() -> None:
    """Nothing is read of a state that is being changed."""
    consistency, state = Consistency(), ["old"]
    changing = threading.Event()

    def change() -> None:
        with consistency.taking_away():
            changing.set()
            time.sleep(0.1)
            state[0] = "new"

    thread = threading.Thread(target=change)
    thread.start()
    changing.wait(5)
    assert consistency.read(lambda _: state[0]) == "new"
    thread.join()


def test_who_is_always_disturbed_ends_all_the_same() -> None:
    """While somebody changes things without pause, a read that is disturbed each time is made with changes held off."""
    consistency, done = Consistency(), threading.Event()

    def change() -> None:
        while not done.is_set():
            with consistency.taking_away():
                pass

    thread = threading.Thread(target=change)
    thread.start()
    tries: list[int] = []
    for number in range(20):

        def slow(_: object, number: int = number) -> int:
            tries.append(number)
            time.sleep(0.005)
            return number

        assert consistency.read(slow) == number
    done.set()
    thread.join()
    assert max(map(tries.count, range(20))) <= 3


def test_what_is_prepared_may_take_something_away() -> None:
    """As moving on in time does: that does not disturb the read it is for."""
    consistency, tries = Consistency(), []

    def prepare() -> int:
        with consistency.taking_away():
            return 5

    def read(prepared: int) -> int:
        tries.append(prepared)
        return prepared

    assert consistency.read(read, prepare) == 5
    assert tries == [5]
