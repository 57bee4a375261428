"""One-bit sketches of templates, and the scan over all of them.

A sketch is the signs of a template's coordinates after a random rotation, one bit a direction. The probe is not reduced
to signs: its rotated coordinates stay numbers (8-bit lookup tables), which halves the bits that the same recall needs.
faiss scans such codes fastest as product quantizer codes of 4 bits: four signs are one code, whose 16 centroids are
the 16 patterns of signs ("fast scan", Andre et al. 2015). Nothing is trained.

The codes lie in faiss's own packed layout, at the row's number, in memory that faiss holds; they are written and erased
in place, so a template can be scanned for as soon as it is stored, and no code of a deleted one stays.
"""

from __future__ import annotations

import threading
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

# faiss packs the codes of 32 vectors into a block: for each quantizer 16 bytes, one for two vectors, in this order.
_BLOCK: Final = 32
_LANE: Final = np.argsort([0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15])
_CHUNK: Final = 8192


def sign_codes(rotated: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the codes of rotated templates; uint8 (rows, bits / 4). `rotated`: float32 (rows, bits)."""
    # Two codes a byte: the first of them in the low half.
    packed = np.packbits(rotated > 0, axis=1, bitorder="little")
    codes = np.empty((len(packed), 2 * packed.shape[1]), np.uint8)
    np.bitwise_and(packed, 0x0F, out=codes[:, ::2])
    np.right_shift(packed, 4, out=codes[:, 1::2])
    return codes


class Shard:
    """Sketches of the rows from `first` on. `write` belongs to one thread, `scan` to any.

    A scan beside a write may see the old or the new code of that row, never another row's.
    """

    def __init__(self, bits: int, first: int, capacity: int) -> None:
        """`bits`: of a sketch, a multiple of 8; `capacity`: rows."""
        self.bits = bits
        self.first = first
        self.capacity = -(-capacity // _BLOCK) * _BLOCK
        whole = faiss.IndexFlatIP(bits)
        whole.add(np.zeros((1, bits), np.float32))
        # The IVF kind, because that is the one whose fast scan takes a selector; of one list.
        index = faiss.IndexIVFPQFastScan(whole, bits, 1, bits // 4, 4, faiss.METRIC_INNER_PRODUCT, _BLOCK)
        patterns = np.where(np.arange(16)[:, None] >> np.arange(4) & 1, 1, -1).astype(np.float32)
        faiss.copy_array_to_vector(np.tile(patterns, (bits // 4, 1)).ravel(), index.pq.centroids)
        index.by_residual, index.is_trained, index.nprobe = False, True, 1
        lists = faiss.downcast_InvertedLists(index.invlists)
        lists.resize(0, self.capacity)
        faiss.rev_swig_ptr(lists.get_ids(0), self.capacity)[:] = np.arange(first, first + self.capacity)
        index.ntotal = self.capacity
        packed = faiss.rev_swig_ptr(lists.get_codes(0), self.capacity // _BLOCK * lists.block_size)
        # uint8 (capacity / 32, bits / 4, 16), a view.
        self.blocks: NDArray[np.uint8] = packed.reshape(self.capacity // _BLOCK, bits // 4, 16)
        self._index = index  # owns the memory of `blocks`
        self._whole = whole

    def larger(self, capacity: int) -> Shard:
        """Return a copy with room for more rows."""
        copy = Shard(self.bits, self.first, capacity)
        copy.blocks[: len(self.blocks)] = self.blocks
        return copy

    def write(self, rows: NDArray[np.int64], codes: NDArray[np.uint8]) -> None:
        """Write the codes of rows, each once; uint8 (len(rows), bits / 4)."""
        for start in range(0, len(rows), _CHUNK):
            self._write(rows[start : start + _CHUNK] - self.first, codes[start : start + _CHUNK])

    def _write(self, places: NDArray[np.int64], codes: NDArray[np.uint8]) -> None:
        block, place = np.divmod(places, _BLOCK)
        lane, low = _LANE[place % 16], place < 16
        # Two vectors share a byte: first those in the low half, then those in the high half.
        at = (block[low], slice(None), lane[low])
        self.blocks[at] = (self.blocks[at] & 0xF0) | codes[low]
        at = (block[~low], slice(None), lane[~low])
        self.blocks[at] = (self.blocks[at] & 0x0F) | (codes[~low] << 4)

    def scan(
        self, probes: NDArray[np.float32], count: int, bits: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return scores and rows of the `count` most similar sketches of each probe: (probes, count), -1 for none.

        `probes`: float32 (probes, bits), rotated, contiguous. `bits`: the rows that count, as Among.bits.
        """
        scores = np.empty((len(probes), count), np.float32)
        rows = np.empty((len(probes), count), np.int64)
        # faiss's own checks and wrappers would cost half as much again as a scan of 10,000 rows.
        self._index.search_c(
            len(probes),
            faiss.swig_ptr(probes),
            count,
            faiss.swig_ptr(scores),
            faiss.swig_ptr(rows),
            _filter.by(bits),
        )
        return scores, rows


class _Filter(threading.local):
    """faiss's parameters of a scan, one a thread: to make them anew costs a fifth of a scan of 10,000 rows."""

    def __init__(self) -> None:
        self._selector = faiss.IDSelectorBitmap(np.zeros(1, np.uint8))
        self._parameters = faiss.SearchParametersIVF(nprobe=1, sel=self._selector)

    def by(self, bits: NDArray[np.uint8]) -> faiss.SearchParametersIVF:
        """Return the parameters of a scan for these rows, which holds `bits` meanwhile."""
        self._selector.n = len(bits)
        self._selector.bitmap = faiss.swig_ptr(bits)
        return self._parameters


_filter = _Filter()
