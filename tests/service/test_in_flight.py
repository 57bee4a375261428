"""Enrolments on their way: whose face is whose, and who is told of it."""

from __future__ import annotations

from concurrent.futures import Future

import numpy as np
import pytest

from gerbang_service.access.identity import LOCAL, Identity, Role
from gerbang_service.changing.in_flight import InFlight, Submitted, same_face
from gerbang_service.changing.storing import Stored, StoredOrBefore
from gerbang_service.domain.decision import as_float32
from gerbang_service.domain.errors import SubjectExists
from gerbang_service.domain.subjects import Subject

THRESHOLD = as_float32(0.5)
FACE = np.array([[1, 0, 0]], np.float32)


def vectors(*similarities: float) -> np.ndarray:
    """Return templates of these similarities to FACE."""
    return np.array([[each, (1 - each**2) ** 0.5, 0] for each in similarities], np.float32)


def submitted(name: str, *similarities: float, lists: tuple[str, ...] = ()) -> Submitted:
    """Return an enrolment that was written; its templates have the ids 100, 101, ..."""
    written: Future[StoredOrBefore] = Future()
    samples = ("NO_FACE", *range(100, 100 + len(similarities)))
    written.set_result(Stored(Subject(name, lists), samples, 1))
    return Submitted(vectors(*similarities), written)


def refused(*similarities: float) -> Submitted:
    written: Future[StoredOrBefore] = Future()
    written.set_exception(SubjectExists("is there"))
    return Submitted(vectors(*similarities), written)


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


def test_all_that_are_on_their_way_within_a_search_are_seen() -> None:
    """Those that were before it, those that come within it, and also those that are through when it ends."""
    before, within, after, over = (submitted(name, 1.0) for name in ("before", "within", "after", "over"))
    in_flight = InFlight()
    with in_flight.put(over):
        pass
    with in_flight.put(before):
        with in_flight.others() as seen:
            with in_flight.put(within):
                pass
        with in_flight.put(after):
            pass
    assert seen == [before, within]
