"""Whether an answer is right is told from the answer and what is known, and from nothing else."""

from __future__ import annotations

import pytest
from benchmarks.loading.kinds import KINDS, Mate, item, numbered, wrong
from hypothesis import given
from hypothesis import strategies as st

from gerbang.v1.matching_service_pb2 import (
    Candidate,
    EnrollResponse,
    IdentifyBatchResponse,
    IdentifyRequest,
    IdentifyResponse,
    VerifyResponse,
)

MATE = Mate("s7", 0.5)


def found(subject_id: str = "s7", similarity: float = 0.5) -> IdentifyResponse:
    other = Candidate(subject_id="other", similarity=0.9)
    return IdentifyResponse(candidates=[other, Candidate(subject_id=subject_id, similarity=similarity)])


@pytest.mark.parametrize("kind", ["identify", "identify-stream"])
def test_a_mate_must_be_among_the_candidates_with_its_similarity(kind: str) -> None:
    assert wrong(KINDS[kind], found().SerializeToString(), (MATE,)) == 0
    assert wrong(KINDS[kind], found(similarity=0.501).SerializeToString(), (MATE,)) == 1
    assert wrong(KINDS[kind], found("s8").SerializeToString(), (MATE,)) == 1
    assert wrong(KINDS[kind], b"", (MATE,)) == 1


def test_of_a_batch_each_known_mate_counts_and_an_answer_too_few_fails_all() -> None:
    answer = IdentifyBatchResponse(responses=[found(), found("s8"), found("s8")])
    assert wrong(KINDS["identify-batch"], answer.SerializeToString(), (MATE, None, MATE)) == 1
    assert wrong(KINDS["identify-batch"], answer.SerializeToString(), (MATE, None)) == 2


def test_verify_must_give_the_exact_similarity() -> None:
    assert wrong(KINDS["verify"], VerifyResponse(similarity=0.5).SerializeToString(), (MATE,)) == 0
    assert wrong(KINDS["verify"], VerifyResponse(similarity=0.4).SerializeToString(), (MATE,)) == 1


@given(st.integers(0, 2**62))
def test_a_sequence_number_can_be_appended_to_a_serialised_request(sequence: int) -> None:
    body = IdentifyRequest(max_candidates=3).SerializeToString()
    expected = IdentifyRequest(max_candidates=3, sequence=sequence)
    assert IdentifyRequest.FromString(numbered(body, sequence)) == expected


def test_an_item_of_a_stream_tells_its_number_and_its_error() -> None:
    failed = IdentifyResponse(sequence=300, error={"code": 3, "message": "no"})
    number, error = item(KINDS["identify-stream"], failed.SerializeToString())
    assert (number, bool(error)) == (300, True)
    assert item(KINDS["identify-stream"], found().SerializeToString()) == (0, b"")
    assert item(KINDS["enrol-stream"], EnrollResponse(revision=9).SerializeToString()) == (0, b"")
