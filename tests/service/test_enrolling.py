"""Enrol: what an office is told of what it enrolled, and of what it repeats."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from gerbang import EnrollRequest, EnrollResponse, Sample, WatchlistClient, error_of
from gerbang.v1.matching_service_pb2 import ENROLL_WARNING_EXPIRED, ON_EXISTING_ADD
from gerbang.v1.subject_pb2 import Subject
from rpc.wire import alike, template
from running import RunningServer

_seeds = iter(range(700_000, 10**6))
HOUR_S = 3600


@pytest.fixture
def desk(templates_server: RunningServer) -> Iterator[WatchlistClient]:
    """An office at the shared server of templates."""
    with WatchlistClient(templates_server.address, timeout=30) as client:
        yield client


def fresh(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def face() -> Sample:
    """Return a template that nobody else has."""
    return template(next(_seeds))


def enrolment(name: str, *samples: Sample, **fields: object) -> EnrollRequest:
    subject = Subject(subject_id=name, **fields)  # type: ignore[arg-type]
    return EnrollRequest(subject=subject, samples=samples)


def duplicates(answer: EnrollResponse) -> list[str]:
    """Return those with the very same face: others' may be near to it."""
    assert error_of(answer) is None
    return [each.subject_id for each in answer.duplicates if each.similarity > 0.999]


def test_the_same_face_twice_in_a_stream_is_pointed_out(desk: WatchlistClient) -> None:
    """The later one names the earlier, also while that is still on its way to the gallery."""
    for _ in range(5):
        same, names = face(), [fresh("twice") for _ in range(2)]
        first, second = desk.enroll_stream([enrolment(each, same) for each in names])
        assert duplicates(first) == []
        assert duplicates(second) == [names[0]]
        found = second.duplicates[0]
        assert found.similarity == pytest.approx(1.0)
        assert found.template_id == first.sample_results[0].template_id


def test_every_earlier_item_with_that_face_is_named(desk: WatchlistClient) -> None:
    """Up to five, by id where they are equally similar, whether they are visible already or not."""
    same, names = face(), sorted(fresh("often") for _ in range(8))
    desk.enroll(names[0], [same])
    answers = list(desk.enroll_stream(enrolment(each, same) for each in names[1:]))
    assert [duplicates(each) for each in answers] == [names[: min(5, number)] for number in range(1, 8)]


def test_an_item_that_was_refused_is_nobodys_duplicate(desk: WatchlistClient) -> None:
    """Who was not enrolled does not have the face."""
    taken, same = fresh("taken"), face()
    desk.enroll(taken, [face()])
    refused, kept = desk.enroll_stream([enrolment(taken, same), enrolment(fresh("kept"), same)])
    assert error_of(refused) is not None
    assert duplicates(kept) == []


def test_more_photos_of_one_person_are_no_duplicates(desk: WatchlistClient) -> None:
    """Items of one stream that add to the same subject do not name it to each other."""
    same, name = face(), fresh("added")
    requests = [enrolment(name, same) for _ in range(3)]
    for each in requests:
        each.on_existing = ON_EXISTING_ADD
    assert [duplicates(each) for each in desk.enroll_stream(requests)] == [[], [], []]


@pytest.mark.parametrize(("from_now_s", "warned"), [(-HOUR_S, True), (HOUR_S, False), (None, False)])
def test_an_end_that_has_passed_is_answered_with_a_warning(
    desk: WatchlistClient,
    from_now_s: int | None,
    warned: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The subject is enrolled and never found: a wrong time zone should be noticed."""
    ends = None if from_now_s is None else Timestamp(seconds=int(time.time()) + from_now_s)
    (answer,) = desk.enroll_stream([enrolment(fresh("ends"), face(), expire_time=ends)])
    assert list(answer.warnings) == ([ENROLL_WARNING_EXPIRED] if warned else [])


def test_a_repeat_tells_what_is_stored_now(desk: WatchlistClient) -> None:
    """Labels that were erased and templates that were deleted do not come back with it."""
    name, request_id, samples = fresh("repeated"), str(uuid.uuid4()), alike(next(_seeds), 2)
    first = desk.enroll(name, samples, request_id=request_id, labels={"name": "old"})
    desk.update_subject(name, labels={"name": "new"})
    left = desk.delete_template(name, first.sample_results[0].template_id).subject
    again = desk.enroll(name, samples, request_id=request_id, labels={"name": "old"})
    assert again.replayed
    assert again.subject == left
    assert dict(again.subject.labels) == {"name": "new"}
    assert again.revision == first.revision
    ids = [each.template_id for each in first.sample_results]
    assert [each.template_id for each in again.sample_results] == ids


def test_a_repeat_names_no_others(desk: WatchlistClient) -> None:
    """Who had this face may have been deleted since, and is not named for ever."""
    other, name, same, request_id = fresh("other"), fresh("repeated"), face(), str(uuid.uuid4())
    desk.enroll(other, [same])
    assert duplicates(desk.enroll(name, [same], request_id=request_id)) == [other]
    desk.delete_subject(other)
    again = desk.enroll(name, [same], request_id=request_id)
    assert again.replayed
    assert not again.duplicates
    assert other not in str(again)


def test_a_repeat_tells_which_samples_were_rejected(desk: WatchlistClient) -> None:
    """By their reason, in the order of the samples; what was measured then is not kept."""
    one, other = alike(next(_seeds), 2)
    name, request_id, samples = fresh("partly"), str(uuid.uuid4()), [one, template(1, dimension=8), other]
    first = desk.enroll(name, samples, request_id=request_id, allow_partial=True)
    again = desk.enroll(name, samples, request_id=request_id, allow_partial=True)
    expected = [(each.template_id, each.rejection) for each in first.sample_results]
    assert [bool(template_id) for template_id, _ in expected] == [True, False, True]
    assert [(each.template_id, each.rejection) for each in again.sample_results] == expected
    assert not any(each.detail for each in again.sample_results)
