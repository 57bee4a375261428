"""Loading takes in all that is stored, or refuses: nobody is left out, or found in another's place, silently."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count

import numpy as np
import pytest
from office import DIMENSION, Office, answered, unit

from gerbang_service.domain.errors import StartupError
from gerbang_service.domain.questions import OnLists, Plan, Question
from gerbang_service.domain.subjects import StoredSubject
from gerbang_service.domain.thresholds import Rule
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.gallery.options import GalleryOptions
from gerbang_service.store.port import Contents


def contents(vectors: np.ndarray, **validity: int) -> Contents:
    """Return vectors as a store hands them over: each a subject's, on list `a`."""

    def subjects() -> Iterator[StoredSubject]:
        for number in range(len(vectors)):
            yield StoredSubject(number, f"s{number}", ("a",), validity.get("begin"), validity.get("end"), {})

    batches = [[(number + 1, number, each.tobytes()) for number, each in enumerate(vectors)]]
    return Contents(9, [Watchlist("a")], subjects(), iter(batches))


def one_by_one(vectors: np.ndarray) -> Contents:
    """Return the same, each template in a batch of its own."""
    given = contents(vectors)
    batches = ([row] for batch in given.templates for row in batch)
    return Contents(9, given.watchlists, given.subjects, batches, len(vectors))


def loaded(vectors: np.ndarray, **validity: int) -> Gallery:
    gallery = Gallery(DIMENSION, 0, GalleryOptions())
    gallery.load(contents(vectors, **validity))
    return gallery


@pytest.mark.parametrize("bit", [30, 29, 27, 23])
def test_a_flipped_bit_of_an_exponent_is_refused(bit: int) -> None:
    """It would match half of all travellers, or nobody: the template is named, and the server does not start."""
    vectors = unit(np.random.default_rng(1), 20)
    vectors.view(np.uint32)[7, int(np.abs(vectors[7]).argmax())] ^= np.uint32(1 << bit)
    with pytest.raises(StartupError, match="template 8 "):
        loaded(vectors)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    """NaN would never be found, without a word."""
    vectors = unit(np.random.default_rng(1), 20)
    vectors[3, 2] = value
    with pytest.raises(StartupError, match="template 4 "):
        loaded(vectors)


def test_a_vector_of_another_length_is_refused() -> None:
    """As one of another recogniser's, or cut off."""
    given = contents(unit(np.random.default_rng(1), 2))
    cut = Contents(9, given.watchlists, given.subjects, iter([[(1, 0, b"\0" * 8)]]))
    with pytest.raises(StartupError, match="template 1 has 8 bytes instead of 64"):
        Gallery(DIMENSION, 0, GalleryOptions()).load(cut)


def test_who_was_loaded_is_found_as_who_was_enrolled() -> None:
    """Revision, size, validity and candidates are the same."""
    vectors = unit(np.random.default_rng(2), 700)
    office = Office(Watchlist("a"), start=False)
    office.enrol_all([(f"s{number}", each[np.newaxis]) for number, each in enumerate(vectors)], "a")
    gallery = loaded(vectors)
    assert (gallery.revision, gallery.size, gallery.subject_count) == (9, 700, 700)
    for probe in vectors[::50]:
        question = Question(probe, OnLists(Rule(0.5)), 5, Plan.SWEEP)
        assert answered(gallery, question).candidates == answered(office.gallery, question).candidates
    over = loaded(vectors, end=5)
    assert not answered(over, Question(vectors[0], OnLists(Rule(0.5)), 5, Plan.SWEEP)).candidates


def test_loading_can_be_given_up() -> None:
    """What `check` raises passes through, before all is loaded."""

    class NotWanted(Exception):
        pass

    def check() -> None:
        raise NotWanted

    gallery = Gallery(DIMENSION, 0, GalleryOptions())
    with pytest.raises(NotWanted):
        gallery.load(contents(unit(np.random.default_rng(1), 5)), check)
    assert gallery.size == 0


@pytest.mark.parametrize("damaged", [20, 89])
def test_no_thread_is_left_when_a_template_is_damaged(damaged: int) -> None:
    """It is found in a second thread, and told by the first: also the last of all."""
    vectors = unit(np.random.default_rng(1), 90)
    vectors[damaged, 2] = np.nan
    before = threading.enumerate()
    with pytest.raises(StartupError, match=f"template {damaged + 1} "):
        Gallery(DIMENSION, 0, GalleryOptions()).load(one_by_one(vectors))
    assert threading.enumerate() == before


def test_no_thread_is_left_when_loading_is_given_up() -> None:
    """Among the templates, when all subjects are read: workers may be forked from who loads."""

    class NotWanted(Exception):
        pass

    calls = count()

    def check() -> None:
        if next(calls) == 30:
            raise NotWanted

    before = threading.enumerate()
    with pytest.raises(NotWanted):
        Gallery(DIMENSION, 0, GalleryOptions()).load(one_by_one(unit(np.random.default_rng(1), 90)), check)
    assert threading.enumerate() == before
