"""A bad item of a batch or stream carries the error of its own call, and the others are answered."""

from __future__ import annotations

from gerbang import EnrollRequest, Sample
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1.subject_pb2 import Subject
from gerbang_service.faces.standin.drawing import draw_face, encode_png
from pictures import crowd, photo
from rpc.contract import expect
from rpc.wire import TIMEOUT_S, Wire, of_status


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
