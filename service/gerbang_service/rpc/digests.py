"""Digests of requests, by which the repeat of one is recognised."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import sample_pb2, subject_pb2


def content_digest(request: pb.EnrollRequest) -> bytes:
    """Return the SHA-256 of what an EnrollRequest asks for, its request_id left out.

    Not of its bytes: clients write the same map, or the same list of ids, in one order today and in another tomorrow.
    And not of the message written anew: that changes when a server learns a field that clients sent before. It is of
    these fields, in this order, each with its length before it. A field that is learned later is added at the end, and
    only where it is set, so that all other requests keep their digests.

    May take a tenth of a second, for 64 MiB of photos.
    """
    digest = hashlib.sha256()
    for part in _parts(request):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def _parts(request: pb.EnrollRequest) -> Iterator[bytes]:
    yield from _subject(request.subject)
    yield b"%d %d %d" % (request.on_existing, request.allow_partial, len(request.samples))
    for each in request.samples:
        yield from _sample(each)


def _subject(subject: subject_pb2.Subject) -> Iterator[bytes]:
    yield subject.subject_id.encode()
    names = sorted(set(subject.watchlists))
    yield b"%d" % len(names)
    for name in names:
        yield name.encode()
    for field, time in (("valid_from", subject.valid_from), ("expire_time", subject.expire_time)):
        yield b"%d %d" % (time.seconds, time.nanos) if subject.HasField(field) else b""  # type: ignore[arg-type]
    yield b"%d" % len(subject.labels)
    for key, value in sorted(subject.labels.items()):
        yield key.encode()
        yield value.encode()


def _sample(sample: sample_pb2.Sample) -> Iterator[bytes]:
    yield (sample.WhichOneof("content") or "").encode()
    yield b"%d" % sample.face_choice
    yield sample.image
    yield sample.template.vector
    yield sample.template.model.encode()
