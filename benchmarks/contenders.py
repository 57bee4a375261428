"""What the engine is measured beside: hnswlib alone, faiss's flat index, and a plain matrix product."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import faiss
import hnswlib
import numpy as np
from benchmarks.galleries import CACHE, Rows, Vectors

BUILD_THREADS = 2
_SEED = 1


@dataclass(frozen=True, slots=True)
class HnswSettings:
    """`m`, `ef_construction`: of hnswlib."""

    m: int
    ef_construction: int

    @property
    def name(self) -> str:
        """How it is called in tables."""
        return f"hnswlib M={self.m} efC={self.ef_construction}"


THIN, THICK = HnswSettings(16, 200), HnswSettings(32, 400)


class HnswPeer:
    """hnswlib over whole templates, k=5. Built with all cores, searched with one; kept in the cache."""

    def __init__(self, key: str, templates: Vectors, settings: HnswSettings) -> None:
        """`key`: names the gallery in the cache."""
        self.settings = settings
        path = CACHE / f"hnsw-{key}-{settings.m}-{settings.ef_construction}.bin"
        note = path.with_suffix(".json")
        self._index: Any = hnswlib.Index(space="ip", dim=templates.shape[1])
        if path.exists():
            self._index.load_index(str(path), max_elements=len(templates))
            self.build_s = float(json.loads(note.read_text())["build_s"])
        else:
            started = time.perf_counter()
            self._index.init_index(
                len(templates), M=settings.m, ef_construction=settings.ef_construction, random_seed=_SEED
            )
            self._index.add_items(templates, num_threads=BUILD_THREADS)
            self.build_s = time.perf_counter() - started
            CACHE.mkdir(exist_ok=True)
            note.write_text(json.dumps({"build_s": self.build_s, "threads": BUILD_THREADS}))
            self._index.save_index(str(path))
        self._index.set_num_threads(1)

    def set_ef(self, ef: int) -> None:
        """Set the width of the search."""
        self._index.set_ef(ef)

    def answer(self, probes: Vectors) -> Rows:
        """Return the best 5 rows of each probe."""
        return self.search(probes)[0]

    def search(self, probes: Vectors, threads: int = 1) -> tuple[Rows, Vectors]:
        """Return the best 5 rows of each probe and their similarities, best first."""
        rows, distances = self._index.knn_query(probes, k=5, num_threads=threads)
        return rows.astype(np.int64), 1 - distances


class FlatPeer:
    """faiss.IndexFlatIP, float32, k=5."""

    def __init__(self, templates: Vectors) -> None:
        self._index = faiss.IndexFlatIP(templates.shape[1])
        self._index.add(templates)

    def answer(self, probes: Vectors) -> Rows:
        """Return the best 5 rows of each probe."""
        return self.search(probes)[0]

    def search(self, probes: Vectors) -> tuple[Rows, Vectors]:
        """Return the best 5 rows of each probe and their similarities, best first."""
        similarities, rows = self._index.search(probes, 5)
        return rows, similarities


class ProductPeer:
    """One float32 matrix product a batch, then numpy.argpartition for the best 5."""

    def __init__(self, templates: Vectors) -> None:
        self._templates = templates

    def answer(self, probes: Vectors) -> Rows:
        """Return the best 5 rows of each probe, in no order."""
        return self.search(probes)[0]

    def search(self, probes: Vectors) -> tuple[Rows, Vectors]:
        """Return the best 5 rows of each probe and their similarities, in no order."""
        scores = probes @ self._templates.T
        rows: Rows = np.argpartition(scores, scores.shape[1] - 5, axis=1)[:, -5:]
        return rows, np.take_along_axis(scores, rows, axis=1)
