"""Valid files with a few bytes changed are seen or refused, and nothing else happens."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gerbang
from gerbang import GateClient
from gerbang_service.domain.errors import ImageTooLarge, ImageUnreadable
from gerbang_service.faces.decode import ImageLimits, decode
from hostile.person import LIST, person
from hostile.small_files import SMALL
from pictures import saved

# What may be said of a picture that came out of a damaged file.
CLEAR = {
    "IMAGE_UNREADABLE",
    "IMAGE_TOO_LARGE",
    "NO_FACE",
    "FACE_TOO_SMALL",
    "FACE_BLURRED",
    "FACE_TURNED",
    "FACE_TOO_DARK",
    "FACE_TOO_BRIGHT",
}


SEEDS = {kind: make() for kind, make in SMALL.items()}


mutations = st.lists(
    st.tuples(
        st.sampled_from(("set", "cut", "insert", "repeat")),
        # Headers are at the beginning: half of the mutations go there.
        st.one_of(st.floats(0, 1), st.floats(0, 0.1)),
        st.one_of(st.binary(min_size=1, max_size=4), st.sampled_from((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff"))),
    ),
    min_size=1,
    max_size=6,
)


def mutated(content: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    """Return a file with a few things changed."""
    for how, place, value in changes:
        at = int(place * len(content))
        if how == "set":
            content = content[:at] + value + content[at + len(value) :]
        elif how == "insert":
            content = content[:at] + value + content[at:]
        elif how == "cut":
            content = content[:at] + content[at + len(value) :]
        else:
            content = content[:at] + content[at : at + 40] * 3 + content[at + 40 :]
    return content


@settings(max_examples=800, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(kind=st.sampled_from(sorted(SEEDS)), changes=mutations)
def test_mutated_files_are_decoded_or_refused(kind: str, changes: list[tuple[str, float, bytes]]) -> None:
    """Any mutation of a valid file gives pixels, IMAGE_UNREADABLE or IMAGE_TOO_LARGE, and no other exception."""
    try:
        decoded = decode(mutated(SEEDS[kind], changes), ImageLimits(max_bytes=10_000_000, max_pixels=1_000_000))
    except (ImageUnreadable, ImageTooLarge) as refusal:
        assert str(refusal)  # noqa: PT017 - either outcome is right
        return
    assert decoded.dtype == np.uint8
    assert decoded.ndim == 3
    assert decoded.shape[2] == 3
    assert decoded.size <= 3_000_000


def test_mutated_files_over_the_wire_are_never_internal(gate: GateClient) -> None:
    """Of hundreds of mutated photos each is answered or refused for a clear reason; the server goes on."""
    chance = random.Random(2026)
    originals = [saved(person(), "JPEG"), saved(person(), "PNG"), saved(person(), "WEBP"), saved(person(), "JPEG2000")]
    files = []
    for number in range(240):
        content = bytearray(originals[number % len(originals)])
        for _ in range(chance.randint(1, 8)):
            content[chance.randrange(len(content) if chance.random() < 0.6 else 600)] = chance.randrange(256)
        files.append(bytes(content))
    answers = gate.identify_batch(files, watchlists=[LIST])
    assert len(answers) == len(files)
    reasons = {error.reason for each in answers if (error := gerbang.error_of(each)) is not None}
    assert reasons <= CLEAR
    assert "IMAGE_UNREADABLE" in reasons
    assert gate.identify(originals[0], watchlists=[LIST]).hit
