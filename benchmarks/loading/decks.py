"""What is asked: requests made and serialised beforehand, with the truth where it is known."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from benchmarks.galleries import DIMENSION, Vectors, facelike, facelike_probes, random_gallery
from benchmarks.loading.kinds import Asked, Mate

from gerbang import enroll_request
from gerbang.v1.matching_service_pb2 import IdentifyBatchRequest, IdentifyRequest, VerifyRequest
from gerbang.v1.sample_pb2 import Sample, Template

PHOTOS = 512
_FRESH = 64


class Deck(Protocol):
    """An endless supply of requests of one kind; can be sent to another process."""

    def requests(self, part: int) -> Iterator[Asked]:
        """Return the requests of one process, `part`, 0 and up."""


@dataclass(frozen=True)
class Fixed:
    """The same requests over and over; each process begins somewhere else."""

    asked: Sequence[Asked]

    def requests(self, part: int) -> Iterator[Asked]:
        """Return them in a circle."""
        start = part * 997 % len(self.asked)
        return itertools.islice(itertools.cycle(self.asked), start, None)


@dataclass(frozen=True)
class NewPeople:
    """Enrolments of face-like people who are nobody yet, of any process and any run; the server names them."""

    dimension: int
    watchlists: tuple[str, ...]

    def requests(self, part: int) -> Iterator[Asked]:  # noqa: ARG002 - chance keeps the processes apart
        """Return one enrolment after the other."""
        spread = (np.arange(1, self.dimension + 1) ** -0.25).astype(np.float32)
        # Nothing but the vector differs: to serialise each anew took a fifth of what the client had for a request.
        blank = np.arange(1, self.dimension + 1, dtype="<f4")
        head, _, tail = _enrolment(_template(blank), self.watchlists).partition(blank.tobytes())
        while True:
            for vector in random_gallery(_FRESH, spread, random.SystemRandom().getrandbits(62)).astype("<f4"):
                yield Asked(head + vector.tobytes() + tail)


@dataclass(frozen=True)
class Probes:
    """Samples, and for those who are known the number of the mate's row and the cosine similarity to it."""

    samples: Sequence[Sample]
    mates: Sequence[tuple[int, float] | None]


def facelike_gallery(source: str) -> Vectors:
    """Return the gallery that a data folder was filled with: a .npy file, or a number of face-like templates."""
    if source.isdecimal():
        return facelike(int(source))
    loaded: Vectors = np.load(source, mmap_mode="r")
    return loaded


def strangers(count: int, dimension: int = DIMENSION) -> Probes:
    """Return face-like probes of nobody in a gallery."""
    spread = (np.arange(1, dimension + 1) ** -0.25).astype(np.float32)
    return Probes([_template(each) for each in random_gallery(count, spread, 77)], [None] * count)


def mixed(gallery: Vectors, count: int, mated: float, cosine: float, seed: int) -> Probes:
    """Return probes, a share of them mates at a cosine to a row of the gallery, in random order."""
    kinds = np.random.default_rng(seed).random(count) < mated
    probes, rows = facelike_probes(np.ascontiguousarray(gallery), count, cosine)
    similarities = np.einsum("ij,ij->i", probes, gallery[rows])
    others = strangers(count, gallery.shape[1]).samples
    samples = [_template(probes[i]) if mate else others[i] for i, mate in enumerate(kinds)]
    mates = [(int(rows[i]), float(similarities[i])) if mate else None for i, mate in enumerate(kinds)]
    return Probes(samples, mates)


def from_file(path: Path) -> Probes:
    """Return the rows of a .npy file, float32 (n, dimension), as probes."""
    vectors = np.load(path).astype("<f4")
    return Probes([_template(each) for each in vectors], [None] * len(vectors))


def photographs(folder: Path) -> Probes:
    """Return up to PHOTOS photographs below a folder, in an order that mixes people."""
    paths = sorted(each for each in folder.rglob("*") if each.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    if not paths:
        raise SystemExit(f"no photographs below {folder}")
    random.Random(1).shuffle(paths)  # noqa: S311 - a fixed order
    return Probes([Sample(image=each.read_bytes()) for each in paths[:PHOTOS]], [None] * len(paths[:PHOTOS]))


def identify(probes: Probes) -> Fixed:
    """Return one Identify a probe, for unary calls and streams."""
    return Fixed([_identify(sample, mate) for sample, mate in zip(probes.samples, probes.mates, strict=True)])


def identify_batch(probes: Probes, size: int) -> Fixed:
    """Return IdentifyBatch calls of so many probes each."""
    singles = list(zip(probes.samples, probes.mates, strict=True))
    count = max(len(singles) // size, 1)
    endless = itertools.cycle(singles)
    return Fixed([_batch(list(itertools.islice(endless, size))) for _ in range(count)])


def verify(probes: Probes, gallery: Vectors | None, seed: int) -> Fixed:
    """Return a Verify a probe: mates claim to be their mate, strangers claim to be somebody enrolled.

    Without a gallery its size is unknown, and all claim to be its first subject.
    """
    size = 1 if gallery is None else len(gallery)
    claimed = np.random.default_rng(seed).integers(0, size, len(probes.samples))
    asked = []
    for sample, mate, other in zip(probes.samples, probes.mates, claimed, strict=True):
        row = int(other) if mate is None else mate[0]
        known: tuple[Mate, ...] = ()
        if gallery is not None and sample.HasField("template"):
            similarity = float(np.frombuffer(sample.template.vector, "<f4") @ gallery[row])
            known = (Mate(subject_of(row), similarity),)
        asked.append(Asked(VerifyRequest(probe=sample, subject_id=subject_of(row)).SerializeToString(), 1, known))
    return Fixed(asked)


def enrol_photographs(probes: Probes, watchlists: tuple[str, ...]) -> Fixed:
    """Return enrolments of photographs; the server names the subjects, so that each can be enrolled again."""
    return Fixed([Asked(_enrolment(sample, watchlists)) for sample in probes.samples])


def subject_of(row: int) -> str:
    """Return the subject that `benchmarks.scale.fill` makes of a row of its gallery."""
    return f"s{row + 1}"


def _identify(sample: Sample, mate: tuple[int, float] | None) -> Asked:
    known = () if mate is None else (Mate(subject_of(mate[0]), mate[1]),)
    return Asked(IdentifyRequest(probe=sample).SerializeToString(), 1, known)


def _batch(items: list[tuple[Sample, tuple[int, float] | None]]) -> Asked:
    message = IdentifyBatchRequest(requests=[IdentifyRequest(probe=sample) for sample, _ in items])
    mates = tuple(None if mate is None else Mate(subject_of(mate[0]), mate[1]) for _, mate in items)
    return Asked(message.SerializeToString(), len(items), mates if any(mates) else ())


def _enrolment(sample: Sample, watchlists: tuple[str, ...]) -> bytes:
    request = enroll_request("", [sample], watchlists=watchlists)
    # With one, a repeat of the same bytes would be answered from memory.
    request.request_id = ""
    return request.SerializeToString()


def _template(vector: Vectors) -> Sample:
    return Sample(template=Template(vector=vector.astype("<f4").tobytes()))
