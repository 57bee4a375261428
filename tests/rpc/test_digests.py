"""The repeat of a request is recognised by what it asks for, however that is written."""

from __future__ import annotations

import hashlib
import uuid

import pytest

from gerbang import EnrollRequest, Sample
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.matching_service_pb2 import ON_EXISTING_ADD
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist
from gerbang_service.rpc.digests import RequestContent
from rpc.wire import TIMEOUT_S, Wire, template

LABELS = {f"key-{number}": f"value-{number}" for number in range(20)}
# Field 1000 of any message, with one byte: what a later client sends and this server does not know.
UNKNOWN_FIELD = bytes([0xC2, 0x3E, 0x01, 0x07])


def request(**fields: object) -> EnrollRequest:
    subject = Subject(subject_id="digest", watchlists=["one", "two"], labels=LABELS)
    return EnrollRequest(**{"subject": subject, "samples": [template(1), Sample(image=b"photo")], **fields})  # type: ignore[arg-type]


def content_digest(asked: EnrollRequest) -> bytes:
    return RequestContent(asked).digest()


def test_the_order_of_lists_and_labels_does_not_count() -> None:
    """A client may write them in another order when it repeats a request."""
    other = Subject(subject_id="digest", watchlists=["two", "one", "two"], labels=dict(reversed(LABELS.items())))
    assert content_digest(request(subject=other)) == content_digest(request())


def test_a_field_that_the_server_does_not_know_does_not_count() -> None:
    """Else a repeat would be refused after the server has learned it."""
    known = request().SerializeToString()
    later = EnrollRequest.FromString(known + UNKNOWN_FIELD)
    assert later.SerializeToString() != known
    assert content_digest(later) == content_digest(request())


def test_who_answers_for_it_does_not_count() -> None:
    """Who was refused may say so and send everything again: what was enrolled before is a repeat."""
    answered_for = request(allow_different=True)
    assert content_digest(answered_for) == content_digest(request())
    assert RequestContent(answered_for).has(hashlib.sha256(request().SerializeToString(deterministic=True)).digest())


@pytest.mark.parametrize(
    "other",
    [
        request(subject=Subject(subject_id="other", watchlists=["one", "two"], labels=LABELS)),
        request(subject=Subject(subject_id="digest", watchlists=["one"], labels=LABELS)),
        request(subject=Subject(subject_id="digest", watchlists=["one", "two"], labels=LABELS | {"key-1": "other"})),
        request(samples=[template(2), Sample(image=b"photo")]),
        request(samples=[Sample(image=b"photo"), template(1)]),
        request(samples=[template(1), Sample(image=b"other")]),
        request(samples=[template(1)]),
        request(on_existing=ON_EXISTING_ADD),
        request(allow_partial=True),
    ],
)
def test_all_else_counts(other: EnrollRequest) -> None:
    """A request_id used for other content is recognised as that."""
    assert content_digest(other) != content_digest(request())


def test_a_digest_of_an_older_program_is_compared_as_that_made_it() -> None:
    """Of the whole message, with its request_id: what was enrolled before an upgrade can be repeated after it."""
    request_id = str(uuid.uuid4())
    older = hashlib.sha256(request(request_id=request_id).SerializeToString(deterministic=True)).digest()
    assert RequestContent(request(request_id=request_id.upper())).has(older)
    assert not RequestContent(request(request_id=request_id, samples=[template(2)])).has(older)
    assert RequestContent(request()).has(content_digest(request()))


def test_a_repeat_written_in_another_way_is_answered(bare: Wire) -> None:
    """Over the wire: the lists in another order, and a field that nobody knows."""
    names = [f"digest-{uuid.uuid4().hex[:8]}" for _ in range(2)]
    for name in names:
        made = office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id=name))
        bare.watchlists.CreateWatchlist(made, timeout=TIMEOUT_S)

    def enrolment(*lists: str) -> EnrollRequest:
        subject = Subject(subject_id=f"on-{names[0]}", watchlists=lists, labels=LABELS)
        return EnrollRequest(subject=subject, samples=[template(77)], request_id=request_id)

    request_id = str(uuid.uuid4())
    first = bare.matching.Enroll(enrolment(*names), timeout=TIMEOUT_S)
    again = EnrollRequest.FromString(enrolment(*reversed(names)).SerializeToString() + UNKNOWN_FIELD)
    repeated = bare.matching.Enroll(again, timeout=TIMEOUT_S)
    assert repeated.replayed
    assert repeated.subject == first.subject
