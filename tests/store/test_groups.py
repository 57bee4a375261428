"""Enrolments of one group, whose rows the durable store inserts together: each sees, and undoes, what is its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from gerbang_service.access.identity import LOCAL
from gerbang_service.changing.one_face import OneFace
from gerbang_service.changing.storing import NewEnrolment, OnExisting, Stored, StoredOrBefore
from gerbang_service.changing.storing import store as enrolling
from gerbang_service.domain.errors import FieldInvalid, SubjectExists
from gerbang_service.domain.subjects import NewTemplate, Subject
from gerbang_service.store.memory import MemoryStore
from gerbang_service.store.port import AnsweredRequest, Operation, Outcome, Store, Transaction
from gerbang_service.store.sqlite.store import SqliteStore
from running import operator_key
from store.writes import MODEL, drop, put_list, vector, wrote

ANY_FACES = OneFace(0.5, allow_different=True)
REQUEST = str(UUID(int=1))


@pytest.fixture(params=["memory", "sqlite", "followed"])
def store(request: Any, tmp_path: Path) -> Iterator[Store]:
    """Lend either store, with list v."""
    if request.param == "memory":
        made: MemoryStore | SqliteStore = MemoryStore(MODEL)
    else:
        made = SqliteStore(tmp_path / "data", operator_key(), followed=request.param == "followed")
        made.bind_model(MODEL, 8, ignore_others=True)
    wrote(made, put_list("v"))
    yield made
    made.close()


def enrol(
    name: str, *seeds: int, on_existing: OnExisting = OnExisting.REJECT, request_id: str = ""
) -> Operation[StoredOrBefore]:
    templates = [NewTemplate(vector(each), None) for each in seeds]
    return enrolling(
        LOCAL,
        NewEnrolment(
            Subject(name, ("v",), labels={"of": name}), templates, MODEL, on_existing, request_id, b"d", ANY_FACES
        ),
    )


def undone(operation: Operation[Any], look: Callable[[Transaction], object] = lambda _: None) -> Operation[None]:
    """Return an operation that does as another does, looks at something, and fails."""

    def run(transaction: Transaction) -> Outcome[None]:
        operation(transaction)
        look(transaction)
        raise FieldInvalid("field", "is wrong")

    return run


def held(store: Store) -> dict[str, int]:
    """Return who is on list v, with how many templates; that they are counted right is checked."""
    with store.reading() as reader:
        subjects = reader.subjects(after="", limit=1000, watchlists=["v"])
        assert reader.subject_count("v") == len(subjects)
        assert all(each.labels == {"of": each.subject_id} for each in subjects)
        return {each.subject_id: len(each.templates) for each in subjects}


def test_a_long_group_of_newcomers_is_there_wholly(store: Store) -> None:
    """With an id of their own each, in the order of the group."""
    answers = wrote(store, *(enrol(f"s{number}", number, 1000 + number) for number in range(150)))
    given = [each for answer in answers for each in answer.samples]
    assert given == list(range(given[0], given[0] + 300))
    assert held(store) == {f"s{number}": 2 for number in range(150)}


def test_what_fails_after_its_rows_were_made_is_undone_alone(store: Store) -> None:
    """Whether they wait still, or somebody has looked: who comes before and after is kept, also under the same id."""
    group: list[Operation[Any]] = [
        enrol("a", 1),
        undone(enrol("b", 2)),
        enrol("c", 3),
        undone(enrol("d", 4), lambda transaction: transaction.subject_count("v")),
        enrol("b", 5, 6),
        undone(drop("a")),
        enrol("d", 7),
        enrol("a", 8),
    ]
    results = store.write(group)
    failed = [type(each) if isinstance(each, Exception) else None for each in results]
    assert failed == [None, FieldInvalid, None, FieldInvalid, None, FieldInvalid, None, SubjectExists]
    assert held(store) == {"a": 1, "b": 2, "c": 1, "d": 1}
    revisions = [each.answer.revision for each in results if isinstance(each, Outcome)]
    assert revisions == list(range(revisions[0], revisions[0] + 4))


def test_an_operation_sees_what_earlier_ones_of_its_group_did(store: Store) -> None:
    """Who was enrolled just before is there: to be added to, to be refused, to be deleted, to be enrolled anew."""
    group: list[Operation[Any]] = [
        enrol("a", 1),
        enrol("a", 2),
        enrol("a", 3, on_existing=OnExisting.ADD),
        enrol("b", 4),
        drop("b"),
        enrol("b", 5, 6, 7),
        enrol("c", 8),
        enrol("c", 9, 10, on_existing=OnExisting.REPLACE),
    ]
    results = store.write(group)
    failed = [type(each) if isinstance(each, Exception) else None for each in results]
    assert failed == [None, SubjectExists, None, None, None, None, None, None]
    assert held(store) == {"a": 2, "b": 3, "c": 2}


def test_a_request_repeated_within_a_group_is_answered_from_the_first(store: Store) -> None:
    """And nothing is stored twice."""
    first, second = wrote(store, enrol("a", 1, request_id=REQUEST), enrol("a", 1, request_id=REQUEST))
    assert isinstance(first, Stored)
    assert isinstance(second, AnsweredRequest)
    assert (second.samples, second.revision) == (first.samples, first.revision)
    assert held(store) == {"a": 1}


def test_who_is_named_by_the_server_has_an_id_that_nobody_has(store: Store) -> None:
    """A random one, in its canonical form."""
    names = {each.subject.subject_id for each in wrote(store, *(enrol("", 1) for _ in range(3)))}
    assert len(names) == 3
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", each) for each in names)
