"""How long the stages of the work take, how much is done at once, and what became of images."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry, Counter, Histogram

from gerbang_service.domain.errors import FaceRejected, GerbangError, ImageTooLarge, ImageUnreadable
from gerbang_service.telemetry.meter import COMMIT, COMMIT_GROUP, SEARCH_BATCH, STAGES

# Seconds: a search of a small gallery takes a tenth of a millisecond, who waits for ten seconds has given up.
STAGE_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32)
_GROUP_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
# The outcome of an image that a template was made of; all others are the reasons of the error table.
TEMPLATE = "TEMPLATE"
# What is none of an image's own faults: the server's, or the caller's haste.
_UNFINISHED = "UNFINISHED"


class StageMetrics:
    """A Meter that counts and times. Thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        stages = Histogram(
            "gerbang_stage_duration_seconds",
            "Time of the stages. extract, search, commit: as a call sees them, waiting included; "
            "decode, detect, align, embed: of an image; search_batch, commit_group: of a batch's work.",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self._stages = {name: stages.labels(name) for name in STAGES}
        self._batches = Histogram(
            "gerbang_search_batch_probes",
            "Probes searched together; the sum is how many were searched in all.",
            buckets=_BATCH_BUCKETS,
            registry=registry,
        )
        self._groups = Histogram(
            "gerbang_commit_group_changes",
            "Changes made durable together, refused ones included.",
            buckets=_GROUP_BUCKETS,
            registry=registry,
        )
        images = Counter(
            "gerbang_images",
            "Images by what became of them: TEMPLATE, or why none could be made (failure to acquire).",
            ["outcome"],
            registry=registry,
        )
        faults: list[type[GerbangError]] = [*FaceRejected.__subclasses__(), ImageUnreadable, ImageTooLarge]
        self._images = {
            name: images.labels(name) for name in (TEMPLATE, _UNFINISHED, *(kind.reason for kind in faults))
        }
        erased = Counter(
            "gerbang_expired_subjects_erased",
            "Subjects erased because they had expired, and expired_kept_days had passed.",
            registry=registry,
        )
        self.expired_erased = erased.inc
        self.last_commit_s = 0.0
        self.revised_s = time.time()
        self._revision = -1

    def stage(self, name: str) -> _Timed:
        """Time a stage."""
        return _Timed(self._stages[name])

    def image(self) -> _Image:
        """Count what becomes of an image."""
        return _Image(self._images)

    def searched(self, queries: int, seconds: float) -> None:
        """Count a batch of searches."""
        self._batches.observe(queries)
        self._stages[SEARCH_BATCH].observe(seconds)

    def submitted(self) -> Callable[[Any], object]:
        """Time from now until the result is called."""
        started = time.perf_counter()
        return lambda _: self._stages[COMMIT].observe(time.perf_counter() - started)

    def committed(self, changes: int, seconds: float, *, kept: bool) -> None:
        """Count a group of changes, and remember whether and when the store kept one."""
        self._groups.observe(changes)
        self._stages[COMMIT_GROUP].observe(seconds)
        if kept:
            self.last_commit_s = time.time()

    def revised(self, revision: int) -> None:
        """Remember when the revision last grew."""
        if revision != self._revision:
            # The first is what was loaded: when it came about is not known.
            if self._revision >= 0:
                self.revised_s = time.time()
            self._revision = revision


class _Timed:
    __slots__ = ("_series", "_started")

    def __init__(self, series: Histogram) -> None:
        self._series = series

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self._series.observe(time.perf_counter() - self._started)


class _Image:
    __slots__ = ("_images",)

    def __init__(self, images: dict[str, Counter]) -> None:
        self._images = images

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        outcome = TEMPLATE if error is None else getattr(error, "reason", _UNFINISHED)
        self._images.get(outcome, self._images[_UNFINISHED]).inc()
