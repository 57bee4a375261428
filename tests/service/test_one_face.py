"""One subject, one face, over the wire: what an office is told, one call at a time, in streams, and all at once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from gerbang import EnrollResponse, Sample, SamplesDiffer, WatchlistClient, enroll_request, error_of
from gerbang.v1.matching_service_pb2 import ENROLL_WARNING_DIFFERENT
from rpc.wire import alike
from running import RunningServer

_seeds = iter(range(810_000, 10**6))


@pytest.fixture
def desk(templates_server: RunningServer) -> Iterator[WatchlistClient]:
    """An office at the shared server of templates; threshold 0.5."""
    with WatchlistClient(templates_server.address, timeout=30) as client:
        yield client


def fresh(prefix: str = "one-face") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def two_people() -> tuple[int, int]:
    """Return seeds of faces that are not alike."""
    while True:
        one, other = (next(_seeds) for _ in range(2))
        a, b = (alike(each, 4) for each in (one, other))
        if max(cosine(x.template.vector, y.template.vector) for x in a for y in b) < 0.45:
            return one, other


def cosine(one: bytes, other: bytes) -> float:
    a, b = (np.frombuffer(each, "<f4").astype(float) for each in (one, other))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def similarities(answer: EnrollResponse) -> list[float | None]:
    return [
        each.similarity_to_subject if each.HasField("similarity_to_subject") else None for each in answer.sample_results
    ]


def test_two_people_in_one_enrolment_are_refused(desk: WatchlistClient) -> None:
    """Two photos of each, so that each has one alike; the failure says which, how similar, and what is needed."""
    one, other = two_people()
    a, b, name = alike(one, 2), alike(other, 2), fresh()
    samples = [a[0], b[0], a[1], b[1]]
    with pytest.raises(SamplesDiffer) as caught:
        desk.enroll(name, samples)
    metadata = caught.value.metadata
    across = max(cosine(x.template.vector, y.template.vector) for x in a for y in b)
    assert (metadata["samples"], metadata["templates"], float(metadata["threshold"])) == ("0,2;1,3", "0", 0.5)
    assert float(metadata["similarity"]) == pytest.approx(across, abs=1e-5)
    assert name not in [each.subject_id for each in desk.list_subjects()]


def test_each_accepted_sample_says_how_similar_it_is(desk: WatchlistClient) -> None:
    """The exact cosine with the most similar other sample or template; absent for the first and only one."""
    one, _ = two_people()
    samples, name = alike(one, 4), fresh()
    vectors = [each.template.vector for each in samples]
    assert similarities(desk.enroll(name, samples[:1])) == [None]
    answer = desk.enroll(name, samples[1:], on_existing="add")
    expected = [max(cosine(vectors[i], vectors[j]) for j in range(4) if i != j) for i in (1, 2, 3)]
    assert similarities(answer) == pytest.approx(expected, abs=1e-6)
    assert not answer.warnings


def test_a_stream_goes_on_after_another_face(desk: WatchlistClient) -> None:
    """Items of one stream that add to the same subject: the one of somebody else is refused, wherever it stands."""
    one, other = two_people()
    a, name = alike(one, 4), fresh()
    samples = [a[0], a[1], alike(other, 1)[0], a[2], a[3]]
    answers = list(desk.enroll_stream(enroll_request(name, [each], on_existing="add") for each in samples))
    assert [isinstance(error_of(each), SamplesDiffer) for each in answers] == [False, False, True, False, False]
    assert len(desk.get_subject(name).templates) == 4


def test_who_answers_for_it_is_warned_and_repeats_are_too(desk: WatchlistClient) -> None:
    """The refused request may be sent again with allow_different; its repeat is answered like it."""
    one, other = two_people()
    samples, name, request_id = [*alike(one, 1), *alike(other, 1)], fresh(), str(uuid.uuid4())
    with pytest.raises(SamplesDiffer):
        desk.enroll(name, samples, request_id=request_id)
    first = desk.enroll(name, samples, request_id=request_id, allow_different=True)
    again = desk.enroll(name, samples, request_id=request_id, allow_different=True)
    assert (first.replayed, again.replayed) == (False, True)
    for answer in (first, again):
        assert list(answer.warnings) == [ENROLL_WARNING_DIFFERENT]
        assert similarities(answer) == similarities(first)
        assert answer.subject == first.subject


def test_a_face_that_was_left_out_is_nobodys_duplicate(desk: WatchlistClient) -> None:
    """Rejected with its reason; who has that face is not named, and whoever has it next is not told of this subject."""
    one, other = two_people()
    a, b = alike(one, 2), alike(other, 3)
    theirs, name = fresh("theirs"), fresh()
    desk.enroll(theirs, b[:1])
    desk.enroll(name, a[:1])
    requests = [
        enroll_request(name, [b[1], a[1]], on_existing="add", allow_partial=True),
        enroll_request(fresh("next"), [b[2]]),
    ]
    added, after = desk.enroll_stream(requests)
    assert [each.rejection for each in added.sample_results] == ["SAMPLES_DIFFER", ""]
    assert "0.5" in added.sample_results[0].detail
    assert theirs not in [each.subject_id for each in added.duplicates]
    named = [each.subject_id for each in after.duplicates]
    assert theirs in named
    assert name not in named


def at_once(*calls: Callable[[], EnrollResponse]) -> list[EnrollResponse | None]:
    """Make calls at the same moment; None where the faces differ."""

    def outcome(call: Callable[[], EnrollResponse]) -> EnrollResponse | None:
        try:
            return call()
        except SamplesDiffer:
            return None

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(outcome, calls))


def test_of_two_people_added_at_once_one_is_refused(desk: WatchlistClient) -> None:
    """Whoever comes later is compared with whoever was first, though neither was there when both began."""
    for _ in range(10):
        name, (one, other) = fresh(), two_people()
        samples = [*alike(one, 2), *alike(other, 2)]
        answers = at_once(*(partial(desk.enroll, name, [each], on_existing="add") for each in samples))
        kept = [answer is not None for answer in answers]
        assert kept in ([True, True, False, False], [False, False, True, True])


def test_the_same_face_at_once_is_told_to_the_later(desk: WatchlistClient) -> None:
    """Unary calls and streams, at the same moment: of each two, at least the later answer names the earlier."""

    def streamed(name: str, sample: Sample) -> EnrollResponse:
        return next(iter(desk.enroll_stream([enroll_request(name, [sample])])))

    for _ in range(5):
        names = [fresh("at-once") for _ in range(6)]
        people = list(zip(names, alike(next(_seeds), 6), strict=True))
        calls = [partial(desk.enroll, name, [sample]) for name, sample in people[:3]]
        answers = at_once(*calls, *(partial(streamed, name, sample) for name, sample in people[3:]))
        revisions = [answer.revision for answer in answers if answer is not None]
        in_order = sorted(zip(revisions, names, answers, strict=True), key=lambda each: each[0])
        for number, (_, _, answer) in enumerate(in_order):
            assert answer is not None
            named = {each.subject_id for each in answer.duplicates}
            # At most five are named, and others of these seeds may be near by chance.
            earlier = {name for _, name, _ in in_order[:number]}
            assert len(earlier - named) == 0 or len(answer.duplicates) == 5
