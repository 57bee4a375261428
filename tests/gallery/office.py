"""A watchlist office of the tests': a gallery beside the plain records that it must agree with."""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gerbang_service.domain.changes import Change, SubjectGone, SubjectPut, WatchlistGone, WatchlistPut
from gerbang_service.domain.decision import Candidate
from gerbang_service.domain.questions import Answer, Everybody, OnLists, Plan, Question
from gerbang_service.domain.subjects import Subject, TemplateInfo
from gerbang_service.domain.thresholds import Rule
from gerbang_service.domain.watchlists import Direction, Watchlist
from gerbang_service.gallery.candidates.one_thread import search_alone
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.gallery.options import GalleryOptions

DIMENSION = 16
OPEN: list[Office] = []
"""Those whose gallery was started: stopped before the interpreter ends, as native code must not be cut off."""


@atexit.register
def _stop() -> None:
    for office in OPEN:
        office.gallery.stop()


class Office:
    """A gallery and the plain records that it must agree with."""

    def __init__(
        self,
        *lists: Watchlist,
        clock: Callable[[], int] = time.time_ns,
        dimension: int = DIMENSION,
        start: bool = True,
    ) -> None:
        search_alone()  # as threads do that search in a server
        self.clock = clock
        self.gallery = Gallery(dimension, 0, GalleryOptions(), clock)
        if start:
            self.gallery.start()
            OPEN.append(self)
        self.records: dict[str, tuple[Subject, dict[int, np.ndarray]]] = {}
        self.revision = 0
        self.templates = 0
        self.apply(*(WatchlistPut(self.next(), each) for each in lists))

    def next(self) -> int:
        self.revision += 1
        return self.revision

    def apply(self, *changes: Change) -> None:
        self.gallery.apply(changes, self.revision)

    def put(self, name: str, vectors: np.ndarray, *lists: str, **validity: int | None) -> SubjectPut:
        """Return the change that enrols somebody, and note it."""
        ids = range(self.templates + 1, self.templates + len(vectors) + 1)
        self.templates += len(vectors)
        infos = tuple(TemplateInfo(each, "m", 0, None) for each in ids)
        subject = Subject(
            name,
            tuple(sorted(lists)),
            validity.get("from_ns"),
            validity.get("until_ns"),
            {},
            infos,
        )
        added = dict(zip(ids, vectors, strict=True))
        self.records[name] = (subject, added)
        return SubjectPut(self.next(), subject, added)

    def enrol(self, name: str, vectors: np.ndarray, *lists: str, **validity: int | None) -> None:
        self.apply(self.put(name, vectors, *lists, **validity))

    def enrol_all(self, people: Sequence[tuple[str, np.ndarray]], *lists: str) -> None:
        """Enrol many as one group."""
        self.apply(*(self.put(name, vectors, *lists) for name, vectors in people))

    def change(self, name: str, **changed: Any) -> None:
        """Change what is known of somebody; templates stay."""
        subject, vectors = self.records[name]
        subject = replace(subject, **changed)
        self.records[name] = (subject, vectors)
        self.apply(SubjectPut(self.next(), subject, {}))

    def delete(self, name: str) -> None:
        del self.records[name]
        self.apply(SubjectGone(self.next(), name))

    def drop_list(self, name: str) -> None:
        self.apply(WatchlistGone(self.next(), name))
        for person, (subject, vectors) in self.records.items():
            kept = tuple(each for each in subject.watchlists if each != name)
            self.records[person] = (replace(subject, watchlists=kept), vectors)

    def wait_for_graph(self) -> None:
        deadline = time.monotonic() + 60
        while graph_progress(self.gallery).pending:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def question(self, probe: np.ndarray, plan: Plan, *names: str, **asked: Any) -> Question:
        among = OnLists(Rule(0.5), names, asked.get("direction", Direction.BOTH), asked.get("threshold", 0.5))
        return Question(probe, among, asked.get("limit", 5), plan)

    def answer(self, probe: np.ndarray, plan: Plan, *names: str, **asked: Any) -> Answer:
        return answered(self.gallery, self.question(probe, plan, *names, **asked))

    def identify(self, probe: np.ndarray, plan: Plan, *names: str, **asked: Any) -> list[Candidate]:
        return self.answer(probe, plan, *names, **asked).candidates

    def everybody(
        self, probe: np.ndarray, threshold: float, besides: str = "", seen_by: frozenset[str] | None = None
    ) -> list[Candidate]:
        question = Question(probe, Everybody(Rule(threshold), seen_by), 5, Plan.SWEEP, besides=besides)
        return answered(self.gallery, question).candidates

    def brute_force(self, probe: np.ndarray, threshold: float, limit: int) -> list[tuple[str, float, int]]:
        best = []
        now = self.clock()
        for name, (subject, vectors) in self.records.items():
            begins = subject.valid_from_ns is None or subject.valid_from_ns <= now
            ends = subject.expire_time_ns is not None and subject.expire_time_ns <= now
            if subject.watchlists and begins and not ends:
                scores = [
                    (float(np.float32(min(1.0, float(v.astype(np.float64) @ probe.astype(np.float64))))), t)
                    for t, v in vectors.items()
                ]
                score, template = max(scores, key=lambda pair: (pair[0], -pair[1]))
                if score >= np.float32(threshold):
                    best.append((name, score, template))
        return sorted(best, key=lambda each: (-each[1], each[0]))[:limit]


def answered(gallery: Gallery, question: Question) -> Answer:
    (asked,) = gallery.search([question])
    if not isinstance(asked, Answer):
        raise asked
    return asked


def graph_progress(gallery: Gallery) -> Any:
    return next(each for each in gallery.progress() if each.name == "graph")


def unit(rng: np.random.Generator, count: int, dimension: int = DIMENSION) -> np.ndarray:
    vectors = rng.standard_normal((count, dimension)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def across(vector: np.ndarray, similarity: float, rng: np.random.Generator) -> np.ndarray:
    """Return a probe of that similarity to a vector."""
    noise = rng.standard_normal(len(vector))
    noise -= (noise @ vector) * vector
    noise /= np.linalg.norm(noise)
    return np.asarray(similarity * vector + np.sqrt(1 - similarity**2) * noise, np.float32)
