"""What an enrolment asks for, told from other content by a digest: so the repeat of a request is recognised."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import sample_pb2, subject_pb2
from gerbang_service.domain.identifiers import check_request_id

# The first byte of a digest: how it is made. Those of older programs have none, and one byte less.
_FORM: Final = b"\x01"


@dataclass(frozen=True, slots=True, eq=False)
class RequestContent:
    """The content of an EnrollRequest, its request_id left out. Each method may take a tenth of a second."""

    request: pb.EnrollRequest

    def digest(self) -> bytes:
        """Return the digest: 33 bytes.

        Not of the bytes that came: clients write the same labels, or the same lists, in one order today and in another
        tomorrow. And not of the message written anew: that changes when a server learns a field that clients sent
        before. It is of these fields, in this order, each with its length before it. A field that is learned later is
        added at the end, and only where it is set: all other requests keep their digests.

        `allow_different` is left out: it asks for nothing else, it answers for what is asked for. Who is told
        SAMPLES_DIFFER may say it and send the same again, with all that was taken before.
        """
        digest = hashlib.sha256()
        for part in _parts(self.request):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        return _FORM + digest.digest()

    def has(self, digest: bytes) -> bool:
        """Tell whether a digest is of the same content."""
        own = self.digest() if digest.startswith(_FORM) and len(digest) == 33 else self._older()
        return hmac.compare_digest(own, digest)

    def _older(self) -> bytes:
        message = pb.EnrollRequest()
        message.CopyFrom(self.request)
        message.request_id = check_request_id(message.request_id)
        message.ClearField("allow_different")
        return hashlib.sha256(message.SerializeToString(deterministic=True)).digest()


def _parts(request: pb.EnrollRequest) -> Iterator[bytes]:
    yield from _subject(request.subject)
    yield b"%d %d %d" % (request.on_existing, request.allow_partial, len(request.samples))
    for each in request.samples:
        yield from _sample(each)
    if request.expected_revision:
        yield b"expected_revision %d" % request.expected_revision


def _subject(subject: subject_pb2.Subject) -> Iterator[bytes]:
    yield subject.subject_id.encode()
    names = sorted(set(subject.watchlists))
    yield b"%d" % len(names)
    for name in names:
        yield name.encode()
    yield _time(subject, "valid_from")
    yield _time(subject, "expire_time")
    yield b"%d" % len(subject.labels)
    for key, value in sorted(subject.labels.items()):
        yield key.encode()
        yield value.encode()


def _time(subject: subject_pb2.Subject, field: str) -> bytes:
    if not subject.HasField(field):  # type: ignore[arg-type]  # one of the two literals
        return b""
    time = getattr(subject, field)
    return b"%d %d" % (time.seconds, time.nanos)


def _sample(sample: sample_pb2.Sample) -> Iterator[bytes]:
    yield (sample.WhichOneof("content") or "").encode()
    yield b"%d" % sample.face_choice
    yield sample.image
    yield sample.template.vector
    yield sample.template.model.encode()
