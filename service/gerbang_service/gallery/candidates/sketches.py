"""The sweep: an exhaustive scan of one-bit sketches, so that every template is looked at in every search.

A sketch is the signs of a template's coordinates after a random rotation, one bit a direction. The probe is not reduced
to signs: its rotated coordinates stay numbers (8-bit lookup tables), which halves the bits that the same recall needs.
faiss scans such codes fastest as product quantizer codes of 4 bits: four signs are one code, whose 16 centroids are
the 16 patterns of signs ("fast scan", Andre et al. 2015). Nothing is trained.

The codes lie in faiss's own packed layout, at the row's number, in memory that faiss holds; they are written and erased
in place, so a template can be scanned for as soon as it is stored, and no code of a deleted one stays.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

# faiss packs the codes of 32 vectors into a block: for each quantizer 16 bytes, one for two vectors, in this order.
_BLOCK = 32
_LANE = np.argsort([0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15])
_SIGN_WEIGHTS = np.array([1, 2, 4, 8], np.uint8)
_CHUNK = 8192


class Sketches:
    """Sketches of a table's rows. `write`, `erase` and `resize` belong to one thread, `scan` to any.

    A scan beside a write may see the old or the new code of that row, never another row's.
    """

    def __init__(self, bits: int, capacity: int) -> None:
        """`bits`: of a sketch, a multiple of 8; `capacity`: rows."""
        self.bits = bits
        self._scanner = _Scanner(bits, capacity)

    @property
    def capacity(self) -> int:
        """Rows that fit."""
        return len(self._scanner.blocks) * _BLOCK

    def resize(self, capacity: int) -> None:
        """Make room for more rows."""
        larger = _Scanner(self.bits, capacity)
        larger.blocks[: len(self._scanner.blocks)] = self._scanner.blocks
        self._scanner = larger

    def write(self, rows: NDArray[np.int64], rotated: NDArray[np.float32]) -> None:
        """Sketch rows. `rotated`: float32 (len(rows), >= bits), templates after the rotation."""
        for start in range(0, len(rows), _CHUNK):
            signs = rotated[start : start + _CHUNK, : self.bits] > 0
            codes = (signs.reshape(len(signs), -1, 4) * _SIGN_WEIGHTS).sum(axis=2, dtype=np.uint8)
            self._put(rows[start : start + _CHUNK], codes)

    def erase(self, row: int) -> None:
        """Overwrite the sketch of a row with zeros."""
        self._put(np.array([row], np.int64), np.zeros((1, self.bits // 4), np.uint8))

    def _put(self, rows: NDArray[np.int64], codes: NDArray[np.uint8]) -> None:
        blocks = self._scanner.blocks
        block, place = np.divmod(rows, _BLOCK)
        lane, low = _LANE[place % 16], place < 16
        # Two vectors share a byte: first those in the low half, then those in the high half.
        at = (block[low], slice(None), lane[low])
        blocks[at] = (blocks[at] & 0xF0) | codes[low]
        at = (block[~low], slice(None), lane[~low])
        blocks[at] = (blocks[at] & 0x0F) | (codes[~low] << 4)

    def scan(self, rotated: NDArray[np.float32], count: int, selection: Any) -> NDArray[np.int64]:  # noqa: ANN401
        """Return the `count` most similar rows of each probe by its sketch; int64 (probes, count), -1 for none.

        `rotated`: float32 (probes, >= bits), probes after the rotation. `selection`: a faiss.IDSelector of the rows
        that count; others are never returned.
        """
        probes = np.ascontiguousarray(rotated[:, : self.bits])
        parameters = faiss.SearchParametersIVF(nprobe=1, sel=selection)
        rows: NDArray[np.int64] = self._scanner.index.search(probes, count, params=parameters)[1]
        return rows


class _Scanner:
    """A faiss index of one list, whose packed codes are `blocks`: uint8 (capacity / 32, bits / 4, 16), a view.

    The IVF kind, because that is the one whose fast scan takes a selector.
    """

    def __init__(self, bits: int, capacity: int) -> None:
        capacity = -(-capacity // _BLOCK) * _BLOCK
        whole = faiss.IndexFlatIP(bits)
        whole.add(np.zeros((1, bits), np.float32))
        index = faiss.IndexIVFPQFastScan(whole, bits, 1, bits // 4, 4, faiss.METRIC_INNER_PRODUCT, _BLOCK)
        patterns = np.where(np.arange(16)[:, None] >> np.arange(4) & 1, 1, -1).astype(np.float32)
        faiss.copy_array_to_vector(np.tile(patterns, (bits // 4, 1)).ravel(), index.pq.centroids)
        index.by_residual, index.is_trained, index.nprobe = False, True, 1
        lists = faiss.downcast_InvertedLists(index.invlists)
        lists.resize(0, capacity)
        faiss.rev_swig_ptr(lists.get_ids(0), capacity)[:] = np.arange(capacity)
        index.ntotal = capacity
        packed = faiss.rev_swig_ptr(lists.get_codes(0), capacity // _BLOCK * lists.block_size)
        self.blocks: NDArray[np.uint8] = packed.reshape(capacity // _BLOCK, bits // 4, 16)
        self.index = index  # owns the memory of `blocks`
        self._whole = whole
