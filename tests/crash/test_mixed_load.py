"""A few kills under a mixed load; `make crashes` does hundreds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from crash.harness import Harness
from crash.model import Person, Truth, Wrong
from gerbang.v1.subject_pb2 import Subject, TemplateInfo


@pytest.mark.parametrize(("workers", "kills"), [(1, 3), (2, 2)])
def test_promises_are_kept_over_kills_under_a_mixed_load(data: Path, workers: int, kills: int) -> None:
    """Killed at random among enrolments, changes, deletions and searches, the server loses nothing that it answered."""
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}: make crashes SEED={seed} repeats it")
    harness = Harness(data, seed, workers)
    harness.run(kills)
    assert harness.truth.acknowledged > 10
    assert harness.counts["searches"] > 0


def stored(name: str, person: Person) -> Subject:
    """Return a person as a server lists it."""
    return Subject(
        subject_id=name,
        watchlists=person.lists,
        labels=person.labels,
        templates=[TemplateInfo(template_id=str(number)) for number in range(person.templates)],
    )


def test_model_of_the_truth_sees_what_is_wrong() -> None:
    """The harness would notice: somebody lost, come back, by half or twice changed, and a revision that went back."""
    one, other = Person(1, 3, ("cegah",), "a"), Person(2, 3, ("cegah",), "b")

    def truth() -> Truth:
        made = Truth()
        made.attempt("p", one)
        made.acknowledge("p", 5)
        return made

    truth().compare([stored("p", one)], [], 5)
    with pytest.raises(Wrong, match="is None"):
        truth().compare([], [], 5)
    with pytest.raises(Wrong, match="must be one of"):
        truth().compare([stored("p", Person(1, 2, ("cegah",), "a"))], [], 5)
    with pytest.raises(Wrong, match="must be one of"):
        truth().compare([stored("p", one), stored("q", other)], [], 6)
    with pytest.raises(Wrong, match="is before 5"):
        truth().compare([stored("p", one)], [], 4)
    unsure = truth()
    unsure.attempt("p", None)
    unsure.compare([stored("p", one)], [], 5)
    deleted = truth()
    deleted.attempt("p", None)
    deleted.acknowledge("p", 6)
    with pytest.raises(Wrong, match="must be one of"):
        deleted.compare([stored("p", one)], [], 6)
