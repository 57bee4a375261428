"""A watchlist office of the tests': a gallery beside the plain records that it must agree with."""

from __future__ import annotations

import time
from functools import partial

import numpy as np

from gerbang_service.domain.changes import Change, SubjectGone, SubjectPut, WatchlistGone, WatchlistPut
from gerbang_service.domain.decision import Candidate, Thresholds, decide
from gerbang_service.domain.questions import Plan
from gerbang_service.domain.subjects import Subject, TemplateInfo
from gerbang_service.domain.watchlists import Direction, Watchlist
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.gallery.options import GalleryOptions
from gerbang_service.gallery.search import Query
from gerbang_service.gallery.selection import Filter

DIMENSION = 16


class Office:
    """A gallery and the plain records that it must agree with."""

    def __init__(self, *lists: Watchlist) -> None:
        self.gallery = Gallery(DIMENSION, 0, GalleryOptions())
        self.gallery.graph.start()
        self.records: dict[str, tuple[Subject, dict[int, np.ndarray]]] = {}
        self.revision = 0
        self.templates = 0
        for each in lists:
            self._apply(WatchlistPut(self._next(), each))

    def _next(self) -> int:
        self.revision += 1
        return self.revision

    def _apply(self, change: Change) -> None:
        self.gallery.apply([change], change.revision)

    def enrol(self, name: str, vectors: np.ndarray, *lists: str, until_ns: int | None = None) -> None:
        ids = range(self.templates + 1, self.templates + len(vectors) + 1)
        self.templates += len(vectors)
        infos = tuple(TemplateInfo(each, "m", 0, None) for each in ids)
        subject = Subject(name, tuple(sorted(lists)), None, until_ns, {}, infos)
        added = dict(zip(ids, vectors, strict=True))
        self._apply(SubjectPut(self._next(), subject, added))
        self.records[name] = (subject, added)

    def delete(self, name: str) -> None:
        self._apply(SubjectGone(self._next(), name))
        del self.records[name]

    def drop_list(self, name: str) -> None:
        self._apply(WatchlistGone(self._next(), name))

    def wait_for_graph(self) -> None:
        deadline = time.monotonic() + 60
        while self.gallery.graph_progress().pending:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def identify(
        self,
        probe: np.ndarray,
        plan: Plan,
        *names: str,
        threshold: float | None = 0.5,
        limit: int = 5,
        direction: Direction = Direction.BOTH,
    ) -> list[Candidate]:
        lists = self.gallery.lists_for(names, direction)
        thresholds = Thresholds.of(lists, server=0.5, request=threshold)
        accept = partial(decide, thresholds=thresholds, watchlists={each.watchlist_id: each for each in lists})
        query = Query(
            probe, plan, Filter(self.gallery.list_bits(lists), time.time_ns()), thresholds.floor, limit, accept
        )
        return self.gallery.search.run([query])[0]

    def brute_force(self, probe: np.ndarray, threshold: float, limit: int) -> list[tuple[str, float, int]]:
        best = []
        for name, (subject, vectors) in self.records.items():
            if subject.watchlists and (subject.expire_time_ns is None or subject.expire_time_ns > time.time_ns()):
                scores = [
                    (float(np.float32(min(1.0, float(v.astype(np.float64) @ probe.astype(np.float64))))), t)
                    for t, v in vectors.items()
                ]
                score, template = max(scores, key=lambda pair: (pair[0], -pair[1]))
                if score >= np.float32(threshold):
                    best.append((name, score, template))
        return sorted(best, key=lambda each: (-each[1], each[0]))[:limit]


def unit(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.standard_normal((count, DIMENSION)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
