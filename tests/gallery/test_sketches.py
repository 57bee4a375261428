"""The sweep's codes lie where faiss looks for them, and follow the table at once."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from gerbang_service.gallery.candidates.rotation import rotation
from gerbang_service.gallery.candidates.sketches import Sketches
from gerbang_service.gallery.selection import Filter, Selections
from gerbang_service.gallery.table import Owner, Table


def unit(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def everything(rows: int) -> tuple[faiss.IDSelectorBitmap, np.ndarray]:
    bits = np.packbits(np.ones(rows, bool), bitorder="little")
    return faiss.IDSelectorBitmap(bits), bits


@pytest.mark.parametrize(("dimension", "bits"), [(512, 512), (512, 1024), (128, 1024), (128, 512), (16, 1024)])
def test_a_scan_ranks_by_the_probe_times_the_signs(dimension: int, bits: int) -> None:
    """What is returned has the largest products of the rotated probe with the rows' signs, to 8-bit tables."""
    vectors = unit(1000, dimension)
    turned = vectors @ rotation(dimension, bits)
    sketches = Sketches(bits, 1000)
    order = np.random.default_rng(1).permutation(1000)
    for part in np.array_split(order, 7):  # in any order, in any portions
        sketches.write(part, turned[part])
    probes = unit(20, dimension, seed=2) @ rotation(dimension, bits)
    selector, _kept = everything(1000)
    found = sketches.scan(probes, 20, selector)
    products = probes @ np.where(turned > 0, 1.0, -1.0).T
    overlap = [len(set(found[i]) & set(np.argsort(-products[i])[:20])) for i in range(20)]
    assert np.mean(overlap) >= 18.5


def test_an_erased_sketch_is_gone_and_a_grown_table_keeps_the_others() -> None:
    """Erasing and growing touch no other row, though two rows share each byte."""
    turned = unit(100, 64) @ rotation(64, 512)
    sketches = Sketches(512, 100)
    sketches.write(np.arange(100), turned)
    before = sketches._scanner.blocks.copy()
    sketches.erase(40)
    sketches.resize(1000)
    after = sketches._scanner.blocks
    sketches.write(np.array([40]), turned[40:41])
    assert np.array_equal(after[: len(before)], before)
    sketches.erase(40)
    assert not np.array_equal(after[: len(before)], before)
    assert sketches.capacity >= 1000


def test_rows_that_are_not_selected_are_never_returned() -> None:
    """Not even when nobody else is left to fill the answer."""
    turned = unit(300, 64) @ rotation(64, 512)
    sketches = Sketches(512, 300)
    sketches.write(np.arange(300), turned)
    mask = np.zeros(300, bool)
    mask[[7, 150, 299]] = True
    bits = np.packbits(mask, bitorder="little")
    found = sketches.scan(turned[:5], 10, faiss.IDSelectorBitmap(bits))
    assert set(found.ravel().tolist()) == {7, 150, 299, -1}


def test_rotations_keep_lengths_and_are_always_the_same() -> None:
    """Each whole matrix is orthogonal, and the seed is fixed."""
    turned = rotation(64, 160)
    assert np.allclose(turned[:, :64].T @ turned[:, :64], np.eye(64), atol=1e-5)
    assert np.array_equal(turned, rotation(64, 160))


def test_a_selection_follows_every_change_of_a_row_and_of_time() -> None:
    """Added, removed, moved to another list, begun and expired: the bitmap says so at the next search."""
    table = Table(4)
    selections = Selections(table)
    on_list, off_list = np.array([2], np.uint64), np.array([1], np.uint64)

    def admitted(now: int) -> list[int]:
        return [int(row) for row in selections.of(Filter(on_list, now)).rows()]

    def owner(begins: int, ends: int) -> Owner:
        return Owner("s", (), {}, begins, ends, ())

    def changed(row: int, now: int) -> None:
        selections.changed(np.array([row]), now)

    assert admitted(10) == []
    first = table.add(owner(0, 100), 1, unit(1, 4)[0], on_list)
    changed(first, 10)
    second = table.add(owner(50, 200), 2, unit(1, 4)[0], on_list)
    changed(second, 10)
    assert admitted(10) == [first]
    assert admitted(50) == [first, second]
    assert admitted(100) == [second]
    assert admitted(200) == []
    table.describe(2, owner(0, 1000), off_list)
    changed(second, 210)
    assert admitted(210) == []
    table.describe(2, owner(0, 1000), on_list)
    changed(second, 220)
    assert admitted(220) == [second]
    table.remove(2)
    changed(second, 230)
    assert admitted(230) == []
    assert selections.of(Filter(None, 0)).rows().tolist() == [first]
