"""Every row of the error table that an image or a template can cause is caused over the wire."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from gerbang import EnrollRequest, Sample, Template
from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import watchlist_service_pb2 as office_pb
from gerbang_service.faces.standin.drawing import Problem, encode_png
from pictures import crowd, photo, spoiled
from rpc.contract import expect, identify_failure
from rpc.wire import TIMEOUT_S, Wire, failure, template, unit, vector


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
    "bad",
    [
        Sample(image=b"no image"),
        Sample(image=crowd()),
        Sample(image=spoiled(Problem.BLURRED)),
        Sample(template=Template(vector=b"\0" * 4)),
        template(1, model="f" * 64),
    ],
    ids=["unreadable", "no face", "blurred", "vector", "model"],
)
def test_which_of_two_samples_is_refused_is_told(wire: Wire, bad: Sample) -> None:
    """The officer has to know whether to take another photo of the traveller, or to look at the passport's."""
    good = Sample(image=photo(1))
    for field, request in (
        ("probe", pb.VerifyRequest(probe=bad, sample=good)),
        ("sample", pb.VerifyRequest(probe=good, sample=bad)),
        ("probe", pb.VerifyRequest(probe=bad, subject_id="anybody")),
    ):
        failed = failure(partial(wire.matching.Verify, request, timeout=TIMEOUT_S))
        assert failed.metadata["field"] == field, failed
