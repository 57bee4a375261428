"""Enrolments on their way: whose face is whose, and who is told of it."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from gerbang_service.access.identity import LOCAL, Identity, Role
from gerbang_service.changing.in_flight import InFlight, Submitted, same_face
from gerbang_service.changing.storing import Stored
from gerbang_service.domain.errors import SubjectExists
from gerbang_service.domain.subjects import Subject
from gerbang_service.domain.thresholds import as_float32

THRESHOLD = as_float32(0.5)
FACE = np.array([[1, 0, 0]], np.float32)


def vectors(*similarities: float) -> np.ndarray:
    """Return templates of these similarities to FACE."""
    return np.array([[each, (1 - each**2) ** 0.5, 0] for each in similarities], np.float32)


def submitted(name: str, *similarities: float, lists: tuple[str, ...] = ()) -> Submitted:
    """Return an enrolment that was written; its templates have the ids 100, 101, ..."""
    written: Future[Any] = Future()
    samples = ("NO_FACE", *range(100, 100 + len(similarities)))
    written.set_result([SubjectExists("another of its run"), Stored(Subject(name, lists), samples, 1)])
    return Submitted(vectors(*similarities), 1, written)


def refused(*similarities: float) -> Submitted:
    written: Future[Any] = Future()
    written.set_result([SubjectExists("is there")])
    return Submitted(vectors(*similarities), 0, written)


def test_templates_at_the_threshold_and_above_are_named() -> None:
    """Each with its exact similarity and the id of its template, rejected samples left out of the count."""
    others = [submitted("far", 0.4, 0.2), submitted("near", 0.1, 0.5, 0.9), refused(1.0)]
    found = [(each.subject_id, each.similarity, each.template_id) for each in same_face(others, FACE, THRESHOLD, LOCAL)]
    assert found == [("near", as_float32(0.5), 101), ("near", pytest.approx(0.9, abs=1e-6), 102)]


def test_who_is_bound_is_told_of_its_own_lists_only() -> None:
    """As of a duplicate that the gallery has: who is on other lists is none of its business."""
    others = [submitted("own", 1.0, lists=("airline", "red")), submitted("foreign", 1.0, lists=("red",))]
    clerk = Identity("clerk", Role.ENROLMENT, frozenset({"airline"}))
    assert [each.subject_id for each in same_face(others, FACE, THRESHOLD, clerk)] == ["own"]
    assert len(list(same_face(others, FACE, THRESHOLD, LOCAL))) == 2


def probe(face: np.ndarray = FACE) -> Submitted:
    """Return an enrolment that others are looked for."""
    return Submitted(face)


def near(in_flight: InFlight, since: int, face: np.ndarray = FACE) -> list[Submitted]:
    """Return those that may have a face."""
    (found,) = in_flight.near([probe(face)], since, THRESHOLD)
    return found


def test_all_that_are_on_their_way_within_a_search_are_seen() -> None:
    """Those that were before it, and those that come within it, also when they are through when it ends."""
    before, within, over = (submitted(name, 1.0) for name in ("before", "within", "over"))
    in_flight = InFlight()
    with in_flight.put([over]):
        pass
    with in_flight.put([before]), in_flight.others() as since:
        with in_flight.put([within]):
            pass
        assert set(near(in_flight, since)) == {before, within}


def test_a_search_that_began_later_does_not_see_who_was_through_before_it() -> None:
    """The gallery has them, or had: who was deleted since must not be told of."""
    early, late = submitted("early", 1.0), submitted("late", 1.0)
    in_flight = InFlight()
    with in_flight.others() as first:
        with in_flight.put([early]):
            pass
        with in_flight.others() as second, in_flight.put([late]):
            assert near(in_flight, second) == [late]
            assert set(near(in_flight, first)) == {early, late}


def test_only_those_with_a_similar_face_are_near() -> None:
    """Once each, however many of their templates are similar, and however many there are."""
    others = [submitted(f"far{number}", 0.3, 0.4) for number in range(100)]
    twice = submitted("twice", 0.1, 0.6, 0.9)
    in_flight = InFlight()
    with ExitStack() as putting:
        since = putting.enter_context(in_flight.others())
        for each in (*others[:50], twice, *others[50:]):
            putting.enter_context(in_flight.put([each]))
        assert near(in_flight, since) == [twice]
        assert near(in_flight, since, np.array([[0, -1, 0], [1, 0, 0]], np.float32)) == [twice]


def test_of_who_is_through_no_face_stays_in_memory() -> None:
    """They may be deleted later, and deleted means erased."""
    in_flight = InFlight()
    with in_flight.put([submitted("first", 1.0)]), in_flight.others(), in_flight.put([submitted("second", 0.9, 0.8)]):
        assert in_flight._vectors.any()
    assert not in_flight._vectors.any()


def test_of_a_run_each_is_near_to_those_before_it() -> None:
    """Never to itself, to one that comes after it, or to strangers; and to those of earlier runs as ever."""
    run = [submitted("first", -1.0, 1.0), submitted("far", 0.0), submitted("second", 1.0), submitted("third", 0.95)]
    earlier = [submitted("unlike", 0.1), submitted("alike", 0.95)]
    in_flight = InFlight()
    with in_flight.put(earlier), in_flight.others() as since:
        found = in_flight.near(run, since, THRESHOLD)
    assert [set(each) for each in found] == [
        {earlier[1]},
        {earlier[0]},
        {run[0], earlier[1]},
        {run[0], run[2], earlier[1]},
    ]
