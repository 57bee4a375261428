"""Enrolments that are worked on together: each is answered, and stored, as if it had come alone."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import grpc
import numpy as np
import pytest

from gerbang import EnrollRequest, Sample
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.subject_pb2 import Subject
from rpc.wire import TIMEOUT_S, Wire, of_error, of_status, template
from running import RunningServer

_prefixes = (f"run-{uuid.uuid4().hex[:6]}-{number}" for number in count())
_seeds = count(5_000_000, 100)
WAYS = (pb.ON_EXISTING_REJECT, pb.ON_EXISTING_ADD, pb.ON_EXISTING_REPLACE)


@pytest.fixture
def wire(templates_server: RunningServer) -> Iterator[Wire]:
    """Bare stubs of the shared server of templates."""
    with Wire(templates_server.address) as opened:
        yield opened


@dataclass
class Script:
    """What is asked, written once for each way of asking: with names, faces and request ids of its own.

    `mirrored`: with faces that are as like each other as those that are not, and are none of them.
    """

    rng: random.Random
    first_seed: int
    mirrored: bool
    prefix: str = field(default_factory=lambda: next(_prefixes))

    def items(self, length: int) -> list[EnrollRequest]:
        """Return requests about few people with few faces, so that they meet; some of which must fail."""
        return [self._item() for _ in range(length)]

    def _item(self) -> EnrollRequest:
        rng = self.rng
        name = f"{self.prefix}-{rng.choice('abcdef')}"
        request = EnrollRequest(
            subject=Subject(subject_id=rng.choice([name] * 12 + [""]), labels={"n": rng.choice("12")}),
            samples=[self._face() for _ in range(rng.choice([1, 1, 1, 2]))],
            on_existing=rng.choice(WAYS),
            allow_partial=rng.random() < 0.5,
            allow_different=rng.random() < 0.7,
        )
        match rng.randrange(12):
            case 0:
                request.samples.append(template(1, dimension=8))
            case 1:
                request.subject.watchlists.append("nobody-made-this-list")
            case 2:
                request.subject.subject_id = "no id"
            case 3:
                del request.samples[:]
            case 4 | 5:
                # The same content again, or other content with the same id.
                request = self._item_of_request(rng.randrange(2))
        return request

    def _item_of_request(self, number: int) -> EnrollRequest:
        request_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.prefix}{number}"))
        return EnrollRequest(
            subject=Subject(subject_id=f"{self.prefix}-r{number}", labels={"n": self.rng.choice("112")}),
            samples=[self._face(0)],
            request_id=request_id,
        )

    def _face(self, number: int | None = None) -> Sample:
        sample = template(self.first_seed + (self.rng.randrange(5) if number is None else number))
        if self.mirrored:
            sample.template.vector = np.frombuffer(sample.template.vector, "<f4")[::-1].tobytes()
        return sample


def one_by_one(wire: Wire, items: Sequence[EnrollRequest]) -> list[pb.EnrollResponse | Any]:
    answers: list[Any] = []
    for each in items:
        try:
            answers.append(wire.matching.Enroll(each, timeout=TIMEOUT_S))
        except grpc.RpcError as error:
            answers.append(of_error(error))
    return answers


def as_stream(wire: Wire, items: Sequence[EnrollRequest]) -> list[pb.EnrollResponse | Any]:
    answers = wire.matching.EnrollStream(iter(items), timeout=TIMEOUT_S)
    return [of_status(each.error) if each.HasField("error") else each for each in answers]


class Told:
    """Answers as they compare: names without their prefix, revisions and ids of templates by their order."""

    def __init__(self, prefix: str, answers: Sequence[Any]) -> None:
        self._prefix = prefix
        enrolled = [each for each in answers if isinstance(each, pb.EnrollResponse)]
        revisions = sorted({each.revision for each in enrolled})
        assert revisions == list(range(revisions[0], revisions[0] + len(revisions)))
        self._revisions = {each: number for number, each in enumerate(revisions)}
        ids = sorted({int(s.template_id) for each in enrolled for s in each.sample_results if s.template_id})
        self._ids = {str(each): number for number, each in enumerate(ids)}
        # Those that the server named have none that could be compared.
        self._named: dict[str, str] = {}
        self.answers = [self._told(each) for each in answers]

    def name(self, subject_id: str) -> str:
        if subject_id.startswith(self._prefix):
            return subject_id.removeprefix(self._prefix)
        return self._named.setdefault(subject_id, f"server's {len(self._named)}")

    def _told(self, answer: Any) -> Any:
        if not isinstance(answer, pb.EnrollResponse):
            metadata = {
                name: value for name, value in answer.metadata.items() if name not in ("request_id", "similarity")
            }
            return answer.reason, str(metadata).replace(self._prefix, "")
        subject = answer.subject
        results = [
            (self._ids.get(each.template_id), each.rejection, round(each.similarity_to_subject, 5))
            for each in answer.sample_results
        ]
        told = [self.name(subject.subject_id), results, self._revisions[answer.revision], answer.replayed]
        # A repeat is told what is stored when it is answered: what came after it may be in that.
        if not answer.replayed:
            told += [dict(subject.labels), [self._ids[each.template_id] for each in subject.templates]]
        return told


def same_face(answer: pb.EnrollResponse) -> list[str]:
    """Return those with the very same face: others' may be near to it."""
    return [each.subject_id for each in answer.duplicates if each.similarity > 0.999]


def stored(wire: Wire, told: Told) -> list[Any]:
    """Return who is stored of a script, with labels and the number of templates."""
    answers, token = [], ""
    while True:
        page = wire.watchlists.ListSubjects(office_pb.ListSubjectsRequest(page_size=1000, page_token=token))
        answers += [each for each in page.subjects if each.subject_id.startswith(told._prefix)]
        token = page.next_page_token
        if not token:
            break
    return [(told.name(each.subject_id), dict(each.labels), len(each.templates)) for each in answers]


@pytest.mark.parametrize("seed", range(4))
def test_a_stream_in_runs_is_answered_and_stored_as_one_by_one(wire: Wire, seed: int) -> None:
    """Whatever meets in a run: the same subject, the same face, the same request id, and items that must fail."""
    faces = next(_seeds)
    alone, together = (Script(random.Random(seed), faces, mirrored) for mirrored in (False, True))
    first, second = one_by_one(wire, alone.items(60)), as_stream(wire, together.items(60))
    expected, found = Told(alone.prefix, first), Told(together.prefix, second)
    assert found.answers == expected.answers
    assert stored(wire, found) == stored(wire, expected)
    for one, other in zip(first, second, strict=True):
        if isinstance(one, pb.EnrollResponse):
            # Of a stream, who was replaced while a later item was on its way may be named too; nobody is left out.
            assert len(same_face(other)) >= len(same_face(one))
    assert any(same_face(each) for each in second if isinstance(each, pb.EnrollResponse))


def reason(call: Any) -> str:
    """Wait for a call, and return the reason why it failed; empty where it did not."""
    error = call.exception()
    return "" if error is None else of_error(error).reason


def test_unary_calls_that_come_together_are_answered_each_by_itself(wire: Wire) -> None:
    """Ids that are taken, templates that can't be, and the same id many times at once: one of these is enrolled."""
    prefix, seed = next(_prefixes), next(_seeds)
    same = [EnrollRequest(subject=Subject(subject_id=f"{prefix}-same"), samples=[template(seed)]) for _ in range(8)]
    others = [EnrollRequest(subject=Subject(subject_id=f"{prefix}-{each}"), samples=[template(seed + each)])
              for each in range(8)]  # fmt: skip
    bad = [EnrollRequest(subject=Subject(subject_id=f"{prefix}-bad"), samples=[template(1, dimension=8)])] * 4
    calls = [wire.matching.Enroll.future(each, timeout=TIMEOUT_S) for each in (*same, *bad, *others)]
    reasons = [reason(each) for each in calls]
    assert sorted(reasons[:8]) == ["", *["SUBJECT_EXISTS"] * 7]
    assert reasons[8:12] == ["TEMPLATE_INVALID"] * 4
    assert reasons[12:] == [""] * 8
    revisions = [each.result().revision for each, reason in zip(calls, reasons, strict=True) if not reason]
    assert sorted(revisions) == list(range(min(revisions), min(revisions) + 9))


def test_a_stream_that_is_given_up_leaves_no_half(wire: Wire) -> None:
    """Who is stored when its client has gone is whole, and was written in order: nobody after who is missing."""
    prefix, seed = next(_prefixes), next(_seeds)
    items = [EnrollRequest(subject=Subject(subject_id=f"{prefix}-{each:04d}"), samples=[template(seed)] * 2)
             for each in range(3000)]  # fmt: skip
    stream = wire.matching.EnrollStream(iter(items), timeout=TIMEOUT_S)
    answered = [next(stream).subject.subject_id for _ in range(20)]
    stream.cancel()
    # The next change of this server is made after all that was on its way.
    last = wire.matching.Enroll(EnrollRequest(samples=[template(seed)]), timeout=TIMEOUT_S)
    assert last.revision > 0
    page = wire.watchlists.ListSubjects(office_pb.ListSubjectsRequest(page_size=1000))
    told = Told.__new__(Told)
    told._prefix, told._named = prefix, {}
    kept = stored(wire, told)
    assert page.subjects
    assert [name for name, _, _ in kept] == [f"-{each:04d}" for each in range(len(kept))]
    assert {templates for _, _, templates in kept} == {2}
    assert len(answered) <= len(kept) < len(items)
