"""The galleries that searches are measured on: face-like and isotropic random ones, and real faces among distractors.

All are the same for the same arguments. What takes long is kept in `benchmarks/.cache`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Vectors: TypeAlias = NDArray[np.float32]
Rows: TypeAlias = NDArray[np.int64]

CACHE = Path(__file__).resolve().parent / ".cache"
DIMENSION = 512
SIMILARITIES = (0.5, 0.4, 0.3)
# A genuine pair of real photographs counts from here on: what a gate would call a hit.
REAL_FLOOR = 0.5
_SHARED = Path(__file__).resolve().parents[2] / "shared"
_BLOCK = 50_000


@dataclass(frozen=True, slots=True)
class Probes:
    """Probes whose mate is the most similar template by float32: float32 (n, dimension), int64 (n,).

    `made`: how many there were before those were dropped that even an exact search gives to somebody else.
    """

    name: str
    probes: Vectors
    mates: Rows
    made: int


@dataclass(frozen=True, slots=True)
class Workload:
    """A gallery, float32 (rows, dimension), unit rows, and probes, the set that matters most first.

    `floor`: the lowest similarity that a search asks for, below that of all mates.
    """

    name: str
    templates: Vectors
    probe_sets: tuple[Probes, ...]
    floor: float


def workload(kind: str, size: int, probes: int) -> Workload:
    """Make a workload: 'facelike', 'isotropic' or 'real'."""
    if kind == "real":
        return _real(size, probes)
    spread = _spread(kind)
    templates = random_gallery(size, spread)
    sets = []
    for similarity in SIMILARITIES:
        mates = np.random.default_rng(5).integers(0, size, probes)
        made = probes_at(similarity, templates, mates, spread)
        key = f"top-{kind}-{size}-{probes}-{similarity}"
        own = cached(key, lambda made=made: exact_top1(templates, made)) == mates  # type: ignore[misc]
        sets.append(Probes(f"{similarity}", np.ascontiguousarray(made[own]), mates[own], probes))
    return Workload(kind, templates, tuple(sets), 0.25)


def facelike(size: int, seed: int = 0) -> Vectors:
    """Return the face-like gallery alone; with another seed, other people."""
    return random_gallery(size, _spread("facelike"), seed)


def facelike_probes(templates: Vectors, count: int, similarity: float) -> tuple[Vectors, Rows]:
    """Return probes at a cosine to their mates, and the mates' rows."""
    mates = np.random.default_rng(5).integers(0, len(templates), count)
    return facelike_probes_of(templates, mates, similarity), mates


def facelike_probes_of(templates: Vectors, mates: Rows, similarity: float) -> Vectors:
    """Return probes at a cosine to these mates."""
    return probes_at(similarity, templates, mates, _spread("facelike"))


def _spread(kind: str) -> Vectors:
    exponent = -0.25 if kind == "facelike" else 0.0
    return (np.arange(1, DIMENSION + 1) ** exponent).astype(np.float32)


def random_gallery(size: int, spread: Vectors, seed: int = 0) -> Vectors:
    """Return unit rows of independent normals with the given standard deviations."""
    random = np.random.default_rng(seed)
    templates = np.empty((size, len(spread)), np.float32)
    for start in range(0, size, _BLOCK):
        block = random.standard_normal((min(_BLOCK, size - start), len(spread)), dtype=np.float32) * spread
        templates[start : start + _BLOCK] = _unit(block)
    return templates


def probes_at(similarity: float, templates: Vectors, mates: Rows, spread: Vectors) -> Vectors:
    """Return a probe for each mate at that cosine to it; the rest is noise like the gallery's, across the mate."""
    own = templates[mates]
    random = np.random.default_rng(int(similarity * 100))
    noise = random.standard_normal(own.shape, dtype=np.float32) * spread
    noise -= (noise * own).sum(axis=1, keepdims=True) * own
    return _unit(similarity * own + np.sqrt(1 - similarity**2).astype(np.float32) * _unit(noise))


def exact_top1(templates: Vectors, probes: Vectors) -> Rows:
    """Return the most similar row of each probe by float32."""
    top = [(probes[start : start + 256] @ templates.T).argmax(axis=1) for start in range(0, len(probes), 256)]
    return np.concatenate(top)


def _unit(rows: Vectors) -> Vectors:
    unit: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


# --- real faces -----------------------------------------------------------------------------------------------------


def _real(size: int, most: int) -> Workload:
    """Enrol the first photo of everybody, fill up with distractors, and probe with the other photos."""
    vectors, people = real_templates()
    _, first = np.unique(people, return_index=True)
    enrolled, others = vectors[first], np.setdiff1d(np.arange(len(people)), first)
    covariance = np.cov(vectors.astype(np.float64), rowvar=False)
    shape = np.linalg.cholesky(covariance + 1e-9 * np.eye(len(covariance)))
    random, mean = np.random.default_rng(0), vectors.mean(axis=0)
    drawn = [
        _unit((mean + random.standard_normal((min(_BLOCK, size - start), len(shape))) @ shape.T).astype(np.float32))
        for start in range(0, size, _BLOCK)
    ]
    templates = np.concatenate([enrolled, *drawn])
    mates = people[others]
    probes = np.ascontiguousarray(vectors[others])
    genuine = np.einsum("ij,ij->i", probes, enrolled[mates]) > REAL_FLOOR
    probes, mates = probes[genuine][:most], mates[genuine][:most]
    own = cached(f"top-real-{size}-{most}", lambda: exact_top1(templates, probes)) == mates
    kept = Probes(f"> {REAL_FLOOR}", np.ascontiguousarray(probes[own]), mates[own], len(mates))
    return Workload("real", templates, (kept,), 0.45)


def real_templates() -> tuple[Vectors, Rows]:
    """Return the template of every photograph that passes as a probe, and whose it is: float32 (n, d), int64 (n,)."""
    vectors = cached("real-vectors", lambda: _embeddings()[0])
    people = cached("real-people", lambda: _embeddings()[1])
    return vectors.astype(np.float32), people.astype(np.int64)


def _embeddings() -> tuple[Vectors, Rows]:
    """Return the template of every photograph that passes as a probe, and whose it is."""
    # Imported here: it takes seconds, which the processes of a load test do not owe.
    from gerbang_service.domain.errors import FaceRejected  # noqa: PLC0415
    from gerbang_service.domain.faces import FaceChoice  # noqa: PLC0415
    from gerbang_service.faces.decode import ImageLimits  # noqa: PLC0415
    from gerbang_service.faces.packs import open_pack  # noqa: PLC0415
    from gerbang_service.faces.pipeline import InsightFacePipeline  # noqa: PLC0415
    from gerbang_service.faces.quality import PROBE  # noqa: PLC0415

    photos = Path(os.environ.get("GERBANG_TEST_FACES", _SHARED / "faces" / "lfw"))
    pack = os.environ.get("GERBANG_TEST_PACK", str(_SHARED / "packs" / "scrfd500m_mobilefacenet"))
    pipeline = InsightFacePipeline(open_pack(pack, 320), ImageLimits(10_000_000, 25_000_000))
    vectors, people = [], []
    for person, folder in enumerate(sorted(each for each in photos.iterdir() if each.is_dir())):
        for photo in sorted(folder.glob("*.jpg")):
            try:
                face = pipeline.extract(photo.read_bytes(), FaceChoice.LARGEST, PROBE, lambda: None)
            except FaceRejected:
                continue
            vectors.append(face.vector)
            people.append(person)
    kept, numbers = np.unique(np.array(people), return_inverse=True)
    CACHE.mkdir(exist_ok=True)
    np.save(CACHE / "real-people.npy", numbers.astype(np.int64))
    print(f"{len(vectors)} photographs of {len(kept)} people")
    return np.stack(vectors), numbers.astype(np.int64)


def cached(name: str, make: Callable[[], NDArray[np.generic]]) -> NDArray[np.generic]:
    """Return an array from the cache, else make and keep it."""
    path = CACHE / f"{name}.npy"
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        np.save(path, make())
    kept: NDArray[np.generic] = np.load(path)
    return kept
