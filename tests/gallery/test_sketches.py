"""The sweep's codes lie where faiss looks for them, and follow the table at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from gerbang_service.gallery.candidates import sweep as sweeping
from gerbang_service.gallery.candidates.port import Added, Probes
from gerbang_service.gallery.candidates.rotation import rotation
from gerbang_service.gallery.candidates.sketches import Shard, sign_codes
from gerbang_service.gallery.candidates.sweep import Sweep


def unit(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@dataclass
class Rows:
    """Rows that count: an Among."""

    mask: np.ndarray

    @property
    def count(self) -> int:
        return int(self.mask.sum())

    @property
    def bits(self) -> np.ndarray:
        return np.packbits(self.mask, bitorder="little")


def everything(rows: int) -> Rows:
    return Rows(np.ones(rows, bool))


def added(rows: np.ndarray, vectors: np.ndarray, turned: np.ndarray) -> Added:
    return Added(rows, rows, vectors[rows], turned[rows])


@pytest.mark.parametrize(("dimension", "bits"), [(512, 512), (512, 1024), (128, 1024), (128, 512), (16, 1024)])
def test_a_scan_ranks_by_the_probe_times_the_signs(dimension: int, bits: int) -> None:
    """What is returned has the largest products of the rotated probe with the rows' signs, to 8-bit tables."""
    vectors = unit(1000, dimension)
    turned = vectors @ rotation(dimension, bits)
    sweep = Sweep(bits)
    order = np.random.default_rng(1).permutation(1000)
    for part in np.array_split(order, 7):  # in any order, in any portions
        sweep.added(added(part, vectors, turned))
    faces = unit(20, dimension, seed=2)
    probes = Probes(faces, faces @ rotation(dimension, bits))
    found = sweep.propose(probes, 20, everything(1000)).rows
    products = probes.rotated @ np.where(turned > 0, 1.0, -1.0).T
    overlap = [len(set(found[i]) & set(np.argsort(-products[i])[:20])) for i in range(20)]
    assert np.mean(overlap) >= 18.5


@pytest.mark.parametrize("processors", [1, 3])
def test_shards_find_together_what_one_would(monkeypatch: pytest.MonkeyPatch, processors: int) -> None:
    """However many shards and helpers: the best of all, and nobody twice."""
    vectors = unit(3000, 64)
    turned = vectors @ rotation(64, 512)
    faces = unit(8, 64, seed=3)
    probes = Probes(faces, faces @ rotation(64, 512))
    whole = Sweep(512)
    whole.added(added(np.arange(3000), vectors, turned))
    monkeypatch.setattr(sweeping, "SHARD_ROWS", 256)
    split = Sweep(512, processors=processors)
    split.start()
    for part in np.array_split(np.arange(3000), 11):
        split.added(added(part, vectors, turned))
    for _ in range(20):
        found = split.propose(probes, 10, everything(3000)).rows
        expected = whole.propose(probes, 10, everything(3000)).rows
        scores = np.where(turned > 0, 1.0, -1.0)
        for mine, theirs, probe in zip(found, expected, probes.rotated, strict=True):
            assert len(set(mine.tolist())) == 10
            assert np.sort(scores[mine] @ probe)[0] >= 0.98 * np.sort(scores[theirs] @ probe)[0]
    split.stop()


def test_an_erased_sketch_is_gone_and_a_grown_shard_keeps_the_others() -> None:
    """Erasing and growing touch no other row, though two rows share each byte."""
    codes = sign_codes(unit(100, 64) @ rotation(64, 512))
    shard = Shard(512, 0, 100)
    shard.write(np.arange(100), codes)
    before = shard.blocks.copy()
    shard.write(np.array([40]), np.zeros((1, 128), np.uint8))
    larger = shard.larger(1000)
    larger.write(np.array([40]), codes[40:41])
    assert np.array_equal(larger.blocks[: len(before)], before)
    larger.write(np.array([40]), np.zeros((1, 128), np.uint8))
    assert not np.array_equal(larger.blocks[: len(before)], before)
    assert larger.capacity >= 1000


def test_rows_that_are_not_selected_are_never_returned() -> None:
    """Not even when nobody else is left to fill the answer."""
    vectors = unit(300, 64)
    turned = vectors @ rotation(64, 512)
    sweep = Sweep(512)
    sweep.added(added(np.arange(300), vectors, turned))
    mask = np.zeros(300, bool)
    mask[[7, 150, 299]] = True
    found = sweep.propose(Probes(vectors[:5], turned[:5]), 10, Rows(mask)).rows
    assert set(found.ravel().tolist()) == {7, 150, 299, -1}


def test_rotations_keep_lengths_and_are_always_the_same() -> None:
    """Each whole matrix is orthogonal, and the seed is fixed."""
    turned = rotation(64, 160)
    assert np.allclose(turned[:, :64].T @ turned[:, :64], np.eye(64), atol=1e-5)
    assert np.array_equal(turned, rotation(64, 160))
