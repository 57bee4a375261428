"""The error table is complete, and every row of it that a request can cause is caused over the wire."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import grpc
import numpy as np
import pytest

from gerbang import EnrollRequest, Sample, Template
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist
from gerbang_service.domain import errors
from gerbang_service.faces.standin.drawing import Problem, draw_face, encode_png
from gerbang_service.rpc.errors import STATUS
from pictures import crowd, photo, spoiled
from rpc.wire import TIMEOUT_S, Failure, Wire, failure, of_status, template, unit, vector
from running import RunningServer

Code = grpc.StatusCode

# Section 5 of the design, row by row, and what it says in words: "later it may" is UNAVAILABLE.
CONTRACT = {
    "IMAGE_UNREADABLE": Code.INVALID_ARGUMENT,
    "IMAGE_TOO_LARGE": Code.INVALID_ARGUMENT,
    "NO_FACE": Code.FAILED_PRECONDITION,
    "SEVERAL_FACES": Code.FAILED_PRECONDITION,
    "FACE_TOO_SMALL": Code.FAILED_PRECONDITION,
    "FACE_BLURRED": Code.FAILED_PRECONDITION,
    "FACE_TURNED": Code.FAILED_PRECONDITION,
    "FACE_TOO_DARK": Code.FAILED_PRECONDITION,
    "FACE_TOO_BRIGHT": Code.FAILED_PRECONDITION,
    "TEMPLATE_INVALID": Code.INVALID_ARGUMENT,
    "MODEL_MISMATCH": Code.FAILED_PRECONDITION,
    "NO_FACE_PACK": Code.FAILED_PRECONDITION,
    "SUBJECT_NOT_FOUND": Code.NOT_FOUND,
    "TEMPLATE_NOT_FOUND": Code.NOT_FOUND,
    "WATCHLIST_NOT_FOUND": Code.NOT_FOUND,
    "SUBJECT_EXISTS": Code.ALREADY_EXISTS,
    "WATCHLIST_EXISTS": Code.ALREADY_EXISTS,
    "WATCHLIST_NOT_EMPTY": Code.FAILED_PRECONDITION,
    "SUBJECT_HAS_NO_TEMPLATE": Code.FAILED_PRECONDITION,
    "FIELD_INVALID": Code.INVALID_ARGUMENT,
    "REVISION_NOT_REACHED": Code.UNAVAILABLE,
    "OVERLOADED": Code.RESOURCE_EXHAUSTED,
    "DEADLINE_TOO_SHORT": Code.DEADLINE_EXCEEDED,
    "NOT_READY": Code.UNAVAILABLE,
    "SHUTTING_DOWN": Code.UNAVAILABLE,
    "STORE_UNAVAILABLE": Code.UNAVAILABLE,
}


def leaves(kind: type[errors.GerbangError]) -> Iterator[type[errors.GerbangError]]:
    """Yield the classes that nothing is derived from."""
    below = [each for each in kind.__subclasses__() if each.__module__.startswith("gerbang_service.")]
    if not below:
        yield kind
    for each in below:
        yield from leaves(each)


@pytest.fixture(scope="module")
def wire(server: RunningServer) -> Iterator[Wire]:
    """The server with the stand-in pack, with one list and one person of this module's on it."""
    with Wire(server.address) as opened:
        opened.watchlists.CreateWatchlist(office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id="table")))
        opened.matching.Enroll(
            EnrollRequest(
                subject=Subject(subject_id="table-1", watchlists=["table"]), samples=[Sample(image=photo(900))]
            ),
            timeout=TIMEOUT_S,
        )
        yield opened


@pytest.fixture(scope="module")
def bare(templates_server: RunningServer) -> Iterator[Wire]:
    """The server without a face pack."""
    with Wire(templates_server.address) as opened:
        yield opened


def expect(failed: Failure, reason: str, **metadata: str) -> None:
    """Check a failure against the contract and its metadata."""
    assert (failed.code, failed.reason, failed.domain) == (CONTRACT[reason], reason, "gerbang"), failed
    assert failed.message
    assert dict(failed.metadata) | metadata == failed.metadata


def identify_failure(wire: Wire, probe: Sample) -> Failure:
    return failure(lambda: wire.matching.Identify(pb.IdentifyRequest(probe=probe), timeout=TIMEOUT_S))


def test_every_error_that_may_cross_the_wire_is_in_the_table() -> None:
    """The table has a row for every leaf of the error tree but StartupError, and none for anything else."""
    assert set(STATUS) == set(leaves(errors.GerbangError)) - {errors.StartupError}


def test_reasons_are_unique_and_as_the_contract_says() -> None:
    """The table's pairs of reason and status are those of the contract, each reason once."""
    assert len({kind.reason for kind in STATUS}) == len(STATUS)
    assert {kind.reason: code for kind, code in STATUS.items()} == CONTRACT


@pytest.mark.parametrize("content", [b"", b"not an image", photo(1)[:2000]], ids=["empty", "text", "truncated"])
def test_what_is_no_image_is_image_unreadable(wire: Wire, content: bytes) -> None:
    """Bytes that are no whole image are IMAGE_UNREADABLE."""
    expect(identify_failure(wire, Sample(image=content)), "IMAGE_UNREADABLE")


def test_image_of_too_many_bytes_is_too_large(wire: Wire) -> None:
    """A file over 10 MB is IMAGE_TOO_LARGE, with its size and the limit."""
    content = photo(1) + bytes(10_000_001)
    expect(identify_failure(wire, Sample(image=content)), "IMAGE_TOO_LARGE", bytes=str(len(content)), limit="10000000")


def test_image_of_too_many_pixels_is_too_large(wire: Wire) -> None:
    """A picture over 25 megapixels is IMAGE_TOO_LARGE, with its size and the limit."""
    content = encode_png(np.zeros((5000, 5001, 3), np.uint8))
    expected = {"width": "5001", "height": "5000", "limit": "25000000"}
    expect(identify_failure(wire, Sample(image=content)), "IMAGE_TOO_LARGE", **expected)


def test_empty_room_is_no_face(wire: Wire) -> None:
    """A picture without a face is NO_FACE."""
    expect(identify_failure(wire, Sample(image=crowd())), "NO_FACE")


def test_two_people_at_enrolment_are_several_faces(wire: Wire) -> None:
    """Enroll takes a picture of one person only: two are SEVERAL_FACES, with their number and the sample's."""
    request = EnrollRequest(samples=[Sample(image=photo(901)), Sample(image=crowd(1, 2))])
    failed = failure(lambda: wire.matching.Enroll(request, timeout=TIMEOUT_S))
    expect(failed, "SEVERAL_FACES", faces="2", sample="1")


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (Problem.SMALL, "FACE_TOO_SMALL"),
        (Problem.BLURRED, "FACE_BLURRED"),
        (Problem.TURNED, "FACE_TURNED"),
        (Problem.DARK, "FACE_TOO_DARK"),
        (Problem.BRIGHT, "FACE_TOO_BRIGHT"),
    ],
)
def test_face_that_can_not_be_used_says_why(wire: Wire, problem: Problem, reason: str) -> None:
    """A spoiled photo is refused for what is wrong with it, with what was measured and the limit, at both doors."""
    sample = Sample(image=spoiled(problem))
    enrolled = failure(lambda: wire.matching.Enroll(EnrollRequest(samples=[sample]), timeout=TIMEOUT_S))
    for failed in (identify_failure(wire, sample), enrolled):
        expect(failed, reason)
        measured, limit = float(failed.metadata["measured"]), float(failed.metadata["limit"])
        assert measured > limit if reason in {"FACE_TURNED", "FACE_TOO_BRIGHT"} else measured < limit


@pytest.mark.parametrize(
    "content",
    [
        b"",
        unit(1)[:-4],
        unit(1) + bytes(4),
        unit(1)[:-1],
        vector([float("nan"), *[1.0] * 15]),
        vector([float("inf"), *[1.0] * 15]),
        vector([float("-inf"), *[1.0] * 15]),
        vector([0.0] * 16),
    ],
    ids=["empty", "15 floats", "17 floats", "63 bytes", "NaN", "inf", "-inf", "zero"],
)
def test_vector_without_a_direction_is_template_invalid(bare: Wire, content: bytes) -> None:
    """A vector of another length, with NaN or infinity, or all zero is TEMPLATE_INVALID."""
    expect(identify_failure(bare, Sample(template=Template(vector=content))), "TEMPLATE_INVALID")


@pytest.mark.parametrize("scale", [1e-38, 1e38, 1.0], ids=["tiny", "huge", "one"])
def test_norm_of_a_vector_does_not_matter(bare: Wire, scale: float) -> None:
    """A vector of any finite norm above zero is compared by its direction."""
    direction = np.random.default_rng(3).normal(size=16)
    scaled = Sample(template=Template(vector=vector((direction * scale).tolist())))
    reference = Sample(template=Template(vector=vector(direction.tolist())))
    answer = bare.matching.Verify(pb.VerifyRequest(probe=scaled, sample=reference), timeout=TIMEOUT_S)
    assert answer.similarity == pytest.approx(1.0, abs=1e-5)


def test_template_of_another_recogniser_is_model_mismatch(wire: Wire) -> None:
    """A template that names another recogniser is MODEL_MISMATCH, with both names."""
    info = wire.watchlists.GetServerInfo(office_pb.GetServerInfoRequest(), timeout=TIMEOUT_S)
    probe = template(1, info.dimension, model="f" * 64)
    expect(identify_failure(wire, probe), "MODEL_MISMATCH", model="f" * 64, server_model=info.model)


@pytest.mark.parametrize(
    "call",
    [
        lambda wire, image: wire.matching.Identify(pb.IdentifyRequest(probe=Sample(image=image)), timeout=TIMEOUT_S),
        lambda wire, image: wire.matching.Extract(pb.ExtractRequest(image=image), timeout=TIMEOUT_S),
        lambda wire, image: wire.matching.Enroll(EnrollRequest(samples=[Sample(image=image)]), timeout=TIMEOUT_S),
        lambda wire, image: wire.matching.Verify(
            pb.VerifyRequest(probe=template(1), sample=Sample(image=image)), timeout=TIMEOUT_S
        ),
    ],
    ids=["Identify", "Extract", "Enroll", "Verify"],
)
def test_image_at_a_server_of_templates_is_no_face_pack(bare: Wire, call: Callable[[Wire, bytes], object]) -> None:
    """A server without a face pack answers an image with NO_FACE_PACK."""
    expect(failure(lambda: call(bare, photo(1))), "NO_FACE_PACK")


@pytest.mark.parametrize(
    "call",
    [
        lambda wire: wire.watchlists.GetSubject(office_pb.GetSubjectRequest(subject_id="nobody")),
        lambda wire: wire.watchlists.UpdateSubject(
            office_pb.UpdateSubjectRequest(subject=Subject(subject_id="nobody"))
        ),
        lambda wire: wire.watchlists.DeleteSubject(office_pb.DeleteSubjectRequest(subject_id="nobody")),
        lambda wire: wire.watchlists.DeleteTemplate(
            office_pb.DeleteTemplateRequest(subject_id="nobody", template_id="1")
        ),
        lambda wire: wire.matching.Verify(pb.VerifyRequest(probe=template(1), subject_id="nobody")),
    ],
    ids=["GetSubject", "UpdateSubject", "DeleteSubject", "DeleteTemplate", "Verify"],
)
def test_unknown_subject_is_subject_not_found(bare: Wire, call: Callable[[Wire], object]) -> None:
    """Every call that names a subject that is not there fails with SUBJECT_NOT_FOUND and the id."""
    expect(failure(lambda: call(bare)), "SUBJECT_NOT_FOUND", subject_id="nobody")


@pytest.mark.parametrize(
    "call",
    [
        lambda wire: wire.watchlists.GetWatchlist(office_pb.GetWatchlistRequest(watchlist_id="nowhere")),
        lambda wire: wire.watchlists.UpdateWatchlist(
            office_pb.UpdateWatchlistRequest(watchlist=Watchlist(watchlist_id="nowhere"))
        ),
        lambda wire: wire.watchlists.DeleteWatchlist(office_pb.DeleteWatchlistRequest(watchlist_id="nowhere")),
        lambda wire: wire.watchlists.ListSubjects(office_pb.ListSubjectsRequest(watchlist="nowhere")),
        lambda wire: wire.matching.Identify(pb.IdentifyRequest(probe=template(1), watchlists=["nowhere"])),
        lambda wire: wire.matching.Enroll(
            EnrollRequest(subject=Subject(watchlists=["nowhere"]), samples=[template(1)])
        ),
    ],
    ids=["GetWatchlist", "UpdateWatchlist", "DeleteWatchlist", "ListSubjects", "Identify", "Enroll"],
)
def test_unknown_watchlist_is_watchlist_not_found(bare: Wire, call: Callable[[Wire], object]) -> None:
    """Every call that names a watchlist that is not there fails with WATCHLIST_NOT_FOUND and the id."""
    expect(failure(lambda: call(bare)), "WATCHLIST_NOT_FOUND", watchlist_id="nowhere")


def test_template_that_is_not_the_subjects_is_template_not_found(wire: Wire) -> None:
    """Deleting a template that the subject does not have is TEMPLATE_NOT_FOUND, and deletes nothing."""
    request = office_pb.DeleteTemplateRequest(subject_id="table-1", template_id="987654321")
    failed = failure(lambda: wire.watchlists.DeleteTemplate(request, timeout=TIMEOUT_S))
    expect(failed, "TEMPLATE_NOT_FOUND", subject_id="table-1", template_id="987654321")
    found = wire.watchlists.GetSubject(office_pb.GetSubjectRequest(subject_id="table-1"), timeout=TIMEOUT_S)
    assert len(found.subject.templates) == 1


def test_enrolled_subject_is_subject_exists(wire: Wire) -> None:
    """Enrolling an id that is taken is SUBJECT_EXISTS, and adds nothing."""
    request = EnrollRequest(subject=Subject(subject_id="table-1"), samples=[Sample(image=photo(902))])
    failed = failure(lambda: wire.matching.Enroll(request, timeout=TIMEOUT_S))
    expect(failed, "SUBJECT_EXISTS", subject_id="table-1")
    found = wire.watchlists.GetSubject(office_pb.GetSubjectRequest(subject_id="table-1"), timeout=TIMEOUT_S)
    assert len(found.subject.templates) == 1


def test_created_watchlist_is_watchlist_exists(wire: Wire) -> None:
    """Creating a list whose id is taken is WATCHLIST_EXISTS, and changes nothing."""
    request = office_pb.CreateWatchlistRequest(watchlist=Watchlist(watchlist_id="table", title="another"))
    failed = failure(lambda: wire.watchlists.CreateWatchlist(request, timeout=TIMEOUT_S))
    expect(failed, "WATCHLIST_EXISTS", watchlist_id="table")
    found = wire.watchlists.GetWatchlist(office_pb.GetWatchlistRequest(watchlist_id="table"), timeout=TIMEOUT_S)
    assert found.watchlist.title == ""


def test_list_with_subjects_is_watchlist_not_empty(wire: Wire) -> None:
    """Deleting a list with subjects on it, without force, is WATCHLIST_NOT_EMPTY with their number."""
    request = office_pb.DeleteWatchlistRequest(watchlist_id="table")
    failed = failure(lambda: wire.watchlists.DeleteWatchlist(request, timeout=TIMEOUT_S))
    expect(failed, "WATCHLIST_NOT_EMPTY", watchlist_id="table", subjects="1")


def test_subject_without_a_template_can_not_be_verified(bare: Wire) -> None:
    """Verifying against a subject whose last template was deleted is SUBJECT_HAS_NO_TEMPLATE."""
    enrolled = bare.matching.Enroll(
        EnrollRequest(subject=Subject(subject_id="emptied"), samples=[template(50)]), timeout=TIMEOUT_S
    )
    (only,) = enrolled.subject.templates
    bare.watchlists.DeleteTemplate(
        office_pb.DeleteTemplateRequest(subject_id="emptied", template_id=only.template_id), timeout=TIMEOUT_S
    )
    request = pb.VerifyRequest(probe=template(50), subject_id="emptied")
    failed = failure(lambda: bare.matching.Verify(request, timeout=TIMEOUT_S))
    expect(failed, "SUBJECT_HAS_NO_TEMPLATE", subject_id="emptied")


def test_revision_of_the_future_is_not_reached_before_the_deadline(bare: Wire) -> None:
    """A min_revision that does not come is REVISION_NOT_REACHED, told before the call's deadline passes."""
    revision = bare.watchlists.GetServerInfo(office_pb.GetServerInfoRequest(), timeout=TIMEOUT_S).revision
    request = pb.IdentifyRequest(probe=template(1), min_revision=revision + 1_000_000)
    started = time.monotonic()
    failed = failure(lambda: bare.matching.Identify(request, timeout=2))
    expect(failed, "REVISION_NOT_REACHED", min_revision=str(revision + 1_000_000))
    assert int(failed.metadata["revision"]) >= revision
    assert 1 < time.monotonic() - started < 2


def test_bad_items_of_streams_and_batches_carry_the_same_errors(wire: Wire) -> None:
    """A bad item is answered with the status, reason and details that its own call would fail with."""
    bad = pb.IdentifyRequest(probe=Sample(image=crowd()), sequence=1)
    worse = pb.IdentifyRequest(probe=Sample(image=photo(900)), max_candidates=-1, sequence=2)
    good = pb.IdentifyRequest(probe=Sample(image=photo(900)), sequence=3)
    batch = wire.matching.IdentifyBatch(pb.IdentifyBatchRequest(requests=[bad, worse, good]), timeout=TIMEOUT_S)
    stream = sorted(
        wire.matching.IdentifyStream(iter([bad, worse, good]), timeout=TIMEOUT_S), key=lambda each: each.sequence
    )
    for answers in (batch.responses, stream):
        assert [each.sequence for each in answers] == [1, 2, 3]
        expect(of_status(answers[0].error), "NO_FACE")
        expect(of_status(answers[1].error), "FIELD_INVALID", field="max_candidates")
        assert list(of_status(answers[1].error).violations) == ["max_candidates"]
        assert not answers[2].HasField("error")
        assert answers[2].candidates[0].subject_id == "table-1"


def test_bad_enrolment_of_a_stream_does_not_stop_it(wire: Wire) -> None:
    """EnrollStream answers a bad item with its error and enrols the ones before and after it."""
    items = [
        EnrollRequest(subject=Subject(subject_id=f"table-stream-{number}"), samples=[Sample(image=content)])
        for number, content in enumerate([photo(910), crowd(), encode_png(draw_face(911))])
    ]
    answers = list(wire.matching.EnrollStream(iter(items), timeout=TIMEOUT_S))
    assert [each.subject.subject_id for each in answers] == ["table-stream-0", "", "table-stream-2"]
    expect(of_status(answers[1].error), "NO_FACE", sample="0")
