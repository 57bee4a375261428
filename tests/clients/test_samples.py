"""What the clients take for a face, a choice, a time, and the messages that they make of it."""

from __future__ import annotations

import struct
import subprocess
import sys
import uuid
from array import array
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gerbang import Direction, FaceChoice, Plan, Sample, Template, enroll_request
from gerbang import _watchlist_requests as office
from gerbang._choices import (
    action_value,
    direction_value,
    face_choice_value,
    measured_plan_value,
    on_existing_value,
    plan_value,
)
from gerbang._requests import Search, extract_request, verify_request
from gerbang._samples import to_sample

IMAGE = b"\xff\xd8\xff\xe0 a jpeg"
NUMBERS = [0.5, -0.25, 3.0]
LITTLE = struct.pack("<3f", *NUMBERS)


@pytest.mark.parametrize(
    "image",
    [IMAGE, bytearray(IMAGE), memoryview(IMAGE), array("B", IMAGE), np.frombuffer(IMAGE, np.uint8)],
    ids=lambda image: type(image).__name__,
)
def test_image_bytes(image: Any) -> None:
    """Every buffer of bytes is taken for an image file, as it is."""
    assert to_sample(image) == Sample(image=IMAGE)


def test_image_path(tmp_path: Path) -> None:
    """A path is read."""
    file = tmp_path / "face.jpg"
    file.write_bytes(IMAGE)
    assert to_sample(file) == Sample(image=IMAGE)


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is a FileNotFoundError."""
    with pytest.raises(FileNotFoundError):
        to_sample(tmp_path / "nobody.jpg")


def test_template() -> None:
    """A Template keeps its recogniser's fingerprint."""
    template = Template(vector=LITTLE, model="abc")
    assert to_sample(template) == Sample(template=template)


@pytest.mark.parametrize(
    "vector",
    [
        NUMBERS,
        tuple(NUMBERS),
        array("f", NUMBERS),
        array("d", NUMBERS),
        memoryview(array("f", NUMBERS)),
        np.array(NUMBERS, "<f4"),
        np.array(NUMBERS, ">f4"),
        np.array(NUMBERS, "<f8"),
        np.array(NUMBERS, ">f8"),
        np.array(NUMBERS, np.float16),
        np.repeat(np.array(NUMBERS, np.float32), 2)[::2],
        [np.float32(number) for number in NUMBERS],
    ],
    ids=lambda vector: f"{type(vector).__name__}-{getattr(vector, 'dtype', '')}",
)
def test_vector(vector: Any) -> None:
    """Every vector of floats, whatever its width, byte order and stride, becomes little-endian float32."""
    assert to_sample(vector) == Sample(template=Template(vector=LITTLE))


def test_vector_keeps_every_bit() -> None:
    """A float32 vector arrives unchanged to the last bit."""
    vector = np.random.default_rng(1).standard_normal(512).astype(np.float32)
    sent = np.frombuffer(to_sample(vector).template.vector, "<f4")
    assert np.array_equal(sent, vector)


def test_sample_is_not_changed() -> None:
    """A Sample is copied, so that face_choice does not change the caller's."""
    mine = Sample(image=IMAGE, face_choice=FaceChoice.FACE_CHOICE_ONLY)
    sent = to_sample(mine, "largest")
    assert sent.face_choice == FaceChoice.FACE_CHOICE_LARGEST
    assert mine.face_choice == FaceChoice.FACE_CHOICE_ONLY


def test_sample_keeps_its_face_choice() -> None:
    """Without a face_choice in the call, that of the Sample counts."""
    mine = Sample(image=IMAGE, face_choice=FaceChoice.FACE_CHOICE_ONLY)
    assert to_sample(mine) == mine


def test_str_is_refused() -> None:
    """A str is refused with a hint at pathlib.Path."""
    with pytest.raises(TypeError, match=r"pathlib\.Path"):
        to_sample("face.jpg")  # type: ignore[arg-type]


def test_decoded_pixels_are_refused() -> None:
    """An array of pixels is refused with the hint to encode it."""
    with pytest.raises(TypeError, match="encode"):
        to_sample(np.zeros((112, 112, 3), np.uint8))


@pytest.mark.parametrize("wrong", [None, 7, 0.5, {0.5: 1}, {0.5}, ["0.5"], [None], array("i", [1, 2])])
def test_what_is_no_face(wrong: Any) -> None:
    """What is neither image nor vector is a TypeError."""
    with pytest.raises(TypeError, match="is no face"):
        to_sample(wrong)


@pytest.mark.parametrize("wrong", [[], np.zeros(0, np.float32), np.zeros((1, 512), np.float32), [1e300]])
def test_bad_vector(wrong: Any) -> None:
    """A vector that is empty, not one-dimensional or beyond float32 is a ValueError."""
    with pytest.raises(ValueError, match="vector"):
        to_sample(wrong)


def test_extract_takes_images_only() -> None:
    """Extract refuses a vector."""
    with pytest.raises(TypeError, match="is no image"):
        extract_request(NUMBERS, None)


def test_choice_by_name() -> None:
    """Every enum value has its lower-case name."""
    assert direction_value("arrival") == Direction.DIRECTION_ARRIVAL
    assert plan_value("exact") == Plan.PLAN_EXACT
    assert face_choice_value("only") == FaceChoice.FACE_CHOICE_ONLY
    assert action_value("refuse_entry") > action_value("defer_departure") > 0
    assert on_existing_value("replace") > 0


@pytest.mark.parametrize("graph", ["graph", Plan.PLAN_GRAPH])
def test_the_graph_alone_is_measured_and_not_chosen(graph: Any) -> None:
    """It misses people, so a search does not offer it."""
    assert measured_plan_value(graph) == Plan.PLAN_GRAPH
    with pytest.raises(ValueError, match="none of both, sweep, exact"):
        plan_value(graph)


def test_choice_by_value() -> None:
    """A protobuf enum value is taken as it is, and None is unspecified."""
    assert direction_value(Direction.DIRECTION_BOTH) == Direction.DIRECTION_BOTH
    assert direction_value(None) == Direction.DIRECTION_UNSPECIFIED


@pytest.mark.parametrize("wrong", ["arrivals", "ARRIVAL", "unspecified", "", 99])
def test_unknown_choice(wrong: Any) -> None:
    """An unknown choice is a ValueError that lists the choices."""
    with pytest.raises(ValueError, match="arrival, departure, both"):
        direction_value(wrong)


@pytest.mark.parametrize("wrong", [True, 1.0])
def test_choice_of_wrong_type(wrong: Any) -> None:
    """A choice that is neither str nor int is a TypeError."""
    with pytest.raises(TypeError, match="direction"):
        direction_value(wrong)


def test_identify_request() -> None:
    """The options of a search arrive in each of its requests."""
    search = Search(
        {
            "direction": "departure",
            "watchlists": ["a"],
            "max_candidates": 3,
            "threshold": 0.0,
            "min_revision": 9,
        }
    )
    request = search.request(NUMBERS, 4)
    assert request.direction == Direction.DIRECTION_DEPARTURE
    assert list(request.watchlists) == ["a"]
    assert (request.max_candidates, request.min_revision, request.sequence) == (3, 9, 4)
    assert request.HasField("threshold")
    assert request.probe.template.vector == LITTLE


def test_absent_threshold() -> None:
    """No threshold in the call is none on the wire, not zero."""
    assert not Search({}).request(NUMBERS).HasField("threshold")


def test_one_probe_is_no_batch() -> None:
    """A batch of one probe that was not put in a list is refused."""
    with pytest.raises(TypeError, match="list of probes"):
        Search({}).batch(IMAGE)  # type: ignore[arg-type]


def test_one_id_is_no_list() -> None:
    """A str as watchlists is refused, instead of taking its letters for ids."""
    with pytest.raises(TypeError, match="list of ids"):
        Search({"watchlists": "redlist"})


def test_unknown_keyword() -> None:
    """An unknown keyword is a TypeError that names it."""
    with pytest.raises(TypeError, match="treshold"):
        enroll_request("a", [IMAGE], treshold=0.5)  # type: ignore[call-arg]


@pytest.mark.parametrize("given", [{}, {"subject_id": "a", "reference": NUMBERS}])
def test_verify_needs_one_reference(given: dict[str, Any]) -> None:
    """Verify without, or with both, of subject_id and reference is a TypeError."""
    arguments: dict[str, Any] = {"subject_id": None, "reference": None} | given
    with pytest.raises(TypeError, match="exactly one"):
        verify_request(IMAGE, threshold=None, min_revision=0, face_choice=None, **arguments)


def test_enroll_request_ids() -> None:
    """Each enrolment has a random UUID of its own, unless one is given."""
    first, second = enroll_request("a", [IMAGE]), enroll_request("a", [IMAGE])
    assert uuid.UUID(first.request_id).version == 4
    assert first.request_id != second.request_id
    mine = str(uuid.uuid4())
    assert enroll_request("a", [IMAGE], request_id=mine).request_id == mine


def test_one_sample_is_no_list() -> None:
    """One image that was not put in a list is refused, instead of taking its bytes for samples."""
    with pytest.raises(TypeError, match="list of samples"):
        enroll_request("a", IMAGE)  # type: ignore[arg-type]


def test_times_are_instants() -> None:
    """A datetime of any time zone arrives as the same instant, to the microsecond."""
    wib = timezone(timedelta(hours=7))
    request = enroll_request("a", [IMAGE], expire_time=datetime(2030, 1, 1, 7, 0, 0, 5, tzinfo=wib))
    assert request.subject.expire_time.ToDatetime(UTC) == datetime(2030, 1, 1, 0, 0, 0, 5, tzinfo=UTC)
    assert not request.subject.HasField("valid_from")


def test_naive_time_is_refused() -> None:
    """A datetime without a time zone is a ValueError."""
    with pytest.raises(ValueError, match="expire_time has no time zone"):
        enroll_request("a", [IMAGE], expire_time=datetime(2030, 1, 1))  # noqa: DTZ001 - the mistake


def test_update_changes_only_what_is_given() -> None:
    """The mask of an update names the given fields and no others."""
    request = office.update_watchlist_request("red", {"title": "Red notice", "action": "refuse_entry"})
    assert sorted(request.update_mask.paths) == ["action", "title"]


def test_update_clears_with_none() -> None:
    """None clears a threshold or a time: the mask names it and the message lacks it."""
    watchlist = office.update_watchlist_request("red", {"threshold": None})
    assert list(watchlist.update_mask.paths) == ["threshold"]
    assert not watchlist.watchlist.HasField("threshold")
    subject = office.update_subject_request("a", {"expire_time": None})
    assert list(subject.update_mask.paths) == ["expire_time"]
    assert not subject.subject.HasField("expire_time")


def test_empty_update_is_refused() -> None:
    """An update without fields is a ValueError: on the wire it would mean all fields."""
    with pytest.raises(ValueError, match="at least one field"):
        office.update_subject_request("a", {})


def test_client_needs_no_server_packages() -> None:
    """Importing the client imports neither NumPy nor anything of the server."""
    code = (
        "import gerbang, sys;"
        "server = {'numpy', 'onnxruntime', 'cv2', 'gerbang_service'};"
        "print(server & {name.split('.')[0] for name in sys.modules})"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"
