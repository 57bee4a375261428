"""The table of answers to requests that may be repeated, and what is taken over of those of older databases."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any, Final

from gerbang_service.domain.errors import DataDamaged
from gerbang_service.store.port import AnsweredRequest
from gerbang_service.store.sealing.cipher import AnyCipher, place
from gerbang_service.store.sqlite.connection import Connection
from gerbang_service.store.sqlite.rows import row_of

log = logging.getLogger(__name__)

ANSWER_COLUMNS = "request_id, digest, subject_id, samples, revision, create_time_ns"


def answer_values(answer: AnsweredRequest, cipher: AnyCipher) -> tuple[Any, ...]:
    """Return the values of ANSWER_COLUMNS."""
    samples = None if answer.erased else json.dumps(answer.samples)
    head = (answer.request_id, b"", answer.subject_id, samples, answer.revision, answer.create_time_ns)
    # It would tell who has a photo whether it was enrolled.
    digest = b"" if answer.erased else cipher.seal(answer.digest, answer_place(head))
    return (head[0], digest, *head[2:])


def insert_answer(connection: Connection, cipher: AnyCipher, answer: AnsweredRequest) -> None:
    """Keep the answer to a request. Raises sqlite3.IntegrityError for a request_id that has one."""
    query = f"INSERT INTO requests ({ANSWER_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608 - constant columns
    connection.execute(query, answer_values(answer, cipher))


def answer_from(row: tuple[Any, ...], cipher: AnyCipher) -> AnsweredRequest:
    """Make an AnsweredRequest of ANSWER_COLUMNS. Raises DataDamaged."""
    request_id, digest, subject_id, samples, revision, created = row
    if samples is None:
        return AnsweredRequest(request_id, b"", subject_id, (), revision, created, erased=True)
    opened = cipher.open(digest, answer_place(row))
    with row_of(f"request {request_id} about subject {subject_id}"):
        return AnsweredRequest(request_id, opened, subject_id, _samples(samples), revision, created)


def _samples(stored: object) -> tuple[int | str, ...]:
    if not isinstance(stored, str):
        raise TypeError("samples are text")
    samples = json.loads(stored)
    if not all(isinstance(each, int | str) for each in samples):
        raise TypeError("a sample has a number or a reason")
    return tuple(samples)


def erase_answers(connection: Connection, subject_id: str) -> None:
    """Leave of the answers about a subject only that they were given."""
    query = "UPDATE requests SET digest = x'', samples = NULL, revision = 0 WHERE subject_id = ?"
    connection.execute(query, (subject_id,))


def forget_answers(connection: Connection, before_ns: int, most: int) -> int:
    """Delete up to `most` answers that are older, the oldest first, and return how many were deleted."""
    query = (
        "DELETE FROM requests WHERE request_id IN "
        "(SELECT request_id FROM requests WHERE create_time_ns < ? ORDER BY create_time_ns LIMIT ?)"
    )
    return connection.execute(query, (before_ns, most)).rowcount


def answer_place(row: tuple[Any, ...]) -> bytes:
    """Return what the digest of ANSWER_COLUMNS is bound to."""
    request_id, _, subject_id, samples, revision, created = row
    return place("requests.digest", request_id, subject_id, revision, created, samples)


# --- older databases --------------------------------------------------------------------------------------------------

# They kept the whole answer as it went over the wire (https://protobuf.dev/programming-guides/encoding/). Numbers of
# its fields: samples and revision; of a sample: the id of its template, the reason of its rejection.
_SAMPLES, _REVISION, _TEMPLATE, _REJECTION = 2, 4, 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED: Final = {_FIXED64: 8, _FIXED32: 4}


def older_answer(row: tuple[Any, ...], cipher: AnyCipher) -> tuple[bytes, bytes | None]:
    """Return digest and encoded answer of a row (request_id, digest, subject_id, answer) of an older database."""
    request_id, digest, subject_id, answer = row
    if answer is None:
        return b"", None
    where = (request_id, subject_id)
    return cipher.open(digest, place("requests.digest", *where)), cipher.open(answer, place("requests.answer", *where))


def earlier_answers(connection: Connection, cipher: AnyCipher) -> list[AnsweredRequest]:
    """Return what is kept of the answers of an older database: ids only. What can't be read is left out.

    Whoever repeats such a request is answered as if it were new: that the subject is enrolled already.
    """
    now = time.time_ns()
    kept: list[AnsweredRequest] = []
    left_out = 0
    for request_id, digest, subject_id, sealed in connection.execute(
        "SELECT request_id, digest, subject_id, answer FROM requests"
    ):
        try:
            opened, answer = older_answer((request_id, digest, subject_id, sealed), cipher)
            samples, revision = ((), 0) if answer is None else _ids(answer)
        except (DataDamaged, ValueError, IndexError):
            left_out += 1
            continue
        kept.append(AnsweredRequest(request_id, opened, subject_id, samples, revision, now, erased=answer is None))
    if left_out:
        log.warning("answers to %d earlier requests can't be read, and are not kept", left_out)
    return kept


def _ids(answer: bytes) -> tuple[tuple[int | str, ...], int]:
    """Return the samples and the revision of an encoded answer. Raises ValueError, IndexError for any other bytes."""
    samples: list[int | str] = []
    revision = 0
    for number, value in _fields(answer):
        if number == _SAMPLES and isinstance(value, bytes):
            parts = dict(_fields(value))
            template, rejection = parts.get(_TEMPLATE), parts.get(_REJECTION)
            if isinstance(template, bytes):
                samples.append(_number(int(template)))
            elif isinstance(rejection, bytes):
                samples.append(rejection.decode())
            else:
                raise ValueError("a sample has neither a template nor a rejection")
        elif number == _REVISION and isinstance(value, int):
            revision = _number(value)
    if not revision or not samples:
        raise ValueError("an answer has a revision, and samples")
    return tuple(samples), revision


def _number(value: int) -> int:
    """Return an id or a revision. Raises ValueError for what none can be."""
    if not 0 < value < 1 << 63:
        raise ValueError("no id or revision is so large")
    return value


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        else:
            length = _FIXED.get(kind, len(message))
        if at + length > len(message):
            raise ValueError("a field goes beyond the message")
        yield number, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        value |= (message[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if message[at - 1] < 0x80:
            return value, at
    raise ValueError("a number of more than ten bytes")
