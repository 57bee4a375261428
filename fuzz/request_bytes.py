"""Bytes of a request -> the domain's types, as the server reads them: deserialized within bounds, then parsed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import atheris

with atheris.instrument_imports(include=["gerbang_service"]):
    from gerbang_service.access.identity import LOCAL
    from gerbang_service.domain.errors import GerbangError
    from gerbang_service.domain.faces import FaceChoice
    from gerbang_service.rpc import office_parsing, parsing
    from gerbang_service.rpc.deserializing import Unreadable, deserializer
    from gerbang_service.rpc.pages import token_id

from fuzz.target import run
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb

PARSER = parsing.Parser("a" * 64, 16)


def _enroll(request: pb.EnrollRequest) -> None:
    assert len(PARSER.enrolment(request).content.digest()) == 33


def _batch(request: pb.IdentifyBatchRequest) -> None:
    for each in request.requests:
        PARSER.search(each, LOCAL)


def _subjects(request: office_pb.ListSubjectsRequest) -> None:
    office_parsing.page_size(request.page_size)
    office_parsing.wanted(request)
    token_id(request.page_token)


KINDS: list[tuple[Any, Callable[[Any], object]]] = [
    (pb.EnrollRequest, _enroll),
    (pb.IdentifyRequest, lambda request: PARSER.search(request, LOCAL)),
    (pb.IdentifyBatchRequest, _batch),
    (pb.VerifyRequest, lambda request: PARSER.verification(request, LOCAL)),
    (pb.ExtractRequest, lambda request: PARSER.image("", request.image, request.face_choice, FaceChoice.LARGEST)),
    (office_pb.CreateWatchlistRequest, lambda request: office_parsing.watchlist(request.watchlist)),
    (office_pb.UpdateWatchlistRequest, lambda r: office_parsing.watchlist_changes(r.watchlist, r.update_mask)),
    (office_pb.UpdateSubjectRequest, office_parsing.subject_change),
    (office_pb.ListSubjectsRequest, _subjects),
    (office_pb.DeleteTemplateRequest, lambda request: office_parsing.template_id(request.template_id)),
    (office_pb.MeasureRecallRequest, office_parsing.recall),
]
READERS = [(deserializer(kind.FromString), parse) for kind, parse in KINDS]


def one(data: bytes) -> None:
    """Read a request of the kind that the first byte says: what it means, or a refusal of the domain's."""
    if not data:
        return
    read, parse = READERS[data[0] % len(READERS)]
    request = read(data[1:])
    if isinstance(request, Unreadable):
        assert str(request.error)
        return
    try:
        parse(request)
    except GerbangError as error:
        assert error.reason


def seeds() -> Iterator[bytes]:
    """Yield some requests of every kind, of ordinary and odd values."""
    for number, (kind, _) in enumerate(KINDS):
        yield from (bytes([number]) + each for each in _examples(kind))


def _examples(kind: Any) -> list[bytes]:  # noqa: ANN401 - a message class
    from hypothesis import HealthCheck, Phase, given, settings

    from rpc.odd_messages import message

    made: list[bytes] = []
    how = settings(
        max_examples=80, database=None, derandomize=True, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
    )

    @how
    @given(message(kind.DESCRIPTOR))
    def collect(request: Any) -> None:  # noqa: ANN401 - of any kind
        made.append(request.SerializeToString())

    collect()
    return made


if __name__ == "__main__":
    run("request_bytes", seeds, one, longest=4096)
