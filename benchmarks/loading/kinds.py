"""The kinds of calls that a load is made of, and whether an answer is right. Bodies and answers are serialised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gerbang.v1.matching_service_pb2 import (
    EnrollResponse,
    IdentifyBatchResponse,
    IdentifyResponse,
    VerifyResponse,
)

_SERVICE = "/gerbang.v1.MatchingService/"
# float32 arithmetic in another order of summation.
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of call. `ordered`: a stream whose answers come in the order of the requests."""

    name: str
    path: str
    stream: bool = False
    ordered: bool = False


KINDS = {
    each.name: each
    for each in (
        Kind("identify", _SERVICE + "Identify"),
        Kind("identify-stream", _SERVICE + "IdentifyStream", stream=True),
        Kind("identify-batch", _SERVICE + "IdentifyBatch"),
        Kind("verify", _SERVICE + "Verify"),
        Kind("enrol", _SERVICE + "Enroll"),
        Kind("enrol-stream", _SERVICE + "EnrollStream", stream=True, ordered=True),
    )
}


@dataclass(frozen=True, slots=True)
class Mate:
    """The enrolled subject that an answer must name (Verify: must compare with), and its cosine similarity."""

    subject_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Asked:
    """One call or item of a stream: its message, how many probes it carries, and what is known of each answer."""

    body: bytes
    probes: int = 1
    mates: tuple[Mate | None, ...] = ()


def wrong(kind: Kind, answer: bytes, mates: Sequence[Mate | None]) -> int:
    """Return for how many of the probes with a known mate the answer does not give it, with its exact similarity."""
    match kind.name:
        case "identify" | "identify-stream":
            return _missed([IdentifyResponse.FromString(answer)], mates)
        case "identify-batch":
            return _missed(list(IdentifyBatchResponse.FromString(answer).responses), mates)
        case "verify":
            similarity = VerifyResponse.FromString(answer).similarity
            return sum(each is not None and abs(similarity - each.similarity) > TOLERANCE for each in mates)
        case _:
            return 0


def _missed(answers: Sequence[IdentifyResponse], mates: Sequence[Mate | None]) -> int:
    if len(answers) != len(mates):
        return len(mates)
    return sum(mate is not None and not _names(answer, mate) for answer, mate in zip(answers, mates, strict=True))


def _names(answer: IdentifyResponse, mate: Mate) -> bool:
    found = {each.subject_id: each.similarity for each in answer.candidates}
    return abs(found.get(mate.subject_id, 2.0) - mate.similarity) <= TOLERANCE


def numbered(body: bytes, sequence: int) -> bytes:
    """Return an IdentifyRequest with field 8, `sequence` (>= 0), appended: a message's fields can be concatenated."""
    digits = bytearray(b"\x40")
    while sequence > 0x7F:
        digits.append(sequence & 0x7F | 0x80)
        sequence >>= 7
    digits.append(sequence)
    return body + bytes(digits)


def item(kind: Kind, answer: bytes) -> tuple[int, bytes]:
    """Return the sequence number of a stream's answer (0 where it has none) and its serialised error, or b""."""
    if kind.ordered:
        enrolled = EnrollResponse.FromString(answer)
        return 0, enrolled.error.SerializeToString() if enrolled.HasField("error") else b""
    found = IdentifyResponse.FromString(answer)
    return found.sequence, found.error.SerializeToString() if found.HasField("error") else b""
