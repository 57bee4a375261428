"""The graph: a generator that walks an HNSW graph, a fast hint at who may be similar, never the truth.

It follows the gallery from behind: a thread of its own adds what it was told of, in short slices, so that no search
waits long for it, and builds a new graph beside the old one when too much of that is deleted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gerbang_service.gallery.candidates.backlog import Backlog
from gerbang_service.gallery.candidates.hnsw import Hnsw
from gerbang_service.gallery.candidates.port import Added, Among, GeneratorProgress, Probes, Proposal
from gerbang_service.gallery.candidates.shared_lock import SharedLock

log = logging.getLogger(__name__)

# Time that one slice of insertions may hold searches up, seconds: about that of a search among 100,000.
_SLICE_S: Final = 0.0005
# While people are being enrolled, and this long afterwards, seconds, the graph pauses so many times as long as it adds:
# searches find who is new without it, and bulk enrolment needs the processor more.
_QUIET_S: Final = 0.2
_PAUSES: Final = 9
# Below this many nodes a rebuild is not worth its while.
_SMALLEST_REBUILT: Final = 1024
# So few rows that are not in the graph yet are proposed to every probe, beside what it finds.
_FEW: Final = 256
_NO_ROWS: Final = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class GraphSettings:
    """`m`, `ef_construction`, `ef`: of HNSW. `max_tombstones`: share of deleted nodes from which on it is rebuilt."""

    m: int = 16
    ef_construction: int = 100
    ef: int = 16
    max_tombstones: float = 0.2


class Graph:
    """A Generator over part of the rotated coordinates; not required: the sweep looks at everybody."""

    name: Final = "graph"
    required: Final = False

    def __init__(
        self,
        directions: int,
        rotated: Callable[[NDArray[np.int64]], NDArray[np.float32]],
        settings: GraphSettings,
        capacity: int = 0,
    ) -> None:
        """`directions`: rotated coordinates that are in it; `rotated`: returns those of rows, (rows, directions).

        `capacity`: rows to make room for.
        """
        self._directions = directions
        self._rotated = rotated
        self._settings = settings
        # While nodes are added nobody searches; what is known of rows, and which graph serves, has a lock of its own.
        self._lock = SharedLock()
        self._changed = threading.Condition()
        self._running = False
        self._failed = False
        self._thread: threading.Thread | None = None
        self._backlog = Backlog()
        self._serving = self._empty(capacity)
        self._building: Hnsw | None = None
        self._rebuilding = Backlog()
        self._slice = 1
        self._told = 0.0

    def _empty(self, capacity: int) -> Hnsw:
        settings = self._settings
        return Hnsw(self._directions, capacity, m=settings.m, ef_construction=settings.ef_construction, ef=settings.ef)

    def start(self) -> None:
        """Start following."""
        self._running = True
        self._thread = threading.Thread(target=self._follow, name="graph", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following; what is pending stays so."""
        with self._changed:
            self._running = False
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def progress(self) -> GeneratorProgress:
        """Tell how far it follows."""
        with self._changed:
            serving = self._serving
            return GeneratorProgress(
                self.name, serving.count, self._backlog.count, serving.tombstones, failed=self._failed
            )

    # --- following, told by who changes the gallery -------------------------------------------------------------------

    def added(self, new: Added) -> None:
        """Note rows to add."""
        self._told = time.monotonic()
        with self._changed:
            self._backlog.put(new.rows)
            if self._building is not None:
                self._rebuilding.put(new.rows)
            self._changed.notify_all()

    def removed(self, rows: NDArray[np.int64]) -> None:
        """Forget rows: their nodes are dead at once, and go with the next rebuild."""
        with self._changed:
            for row in rows.tolist():
                if not self._backlog.drop(row):
                    self._serving.remove(row)
                if self._building is not None and not self._rebuilding.drop(row):
                    self._building.remove(row)
            if self._is_worn(self._serving):
                self._changed.notify_all()

    # --- proposing --------------------------------------------------------------------------------------------------

    def propose(self, probes: Probes, count: int, among: Among) -> Proposal:  # noqa: ARG002 - it can't be told whom
        """Return up to `count` rows near each probe, whoever counts."""
        coordinates = np.ascontiguousarray(probes.rotated[:, : self._directions])
        # What is pending is noted before the walk: a row that is added meanwhile may be in both, and is never in
        # neither.
        behind, pending = self._pending()
        with self._lock.shared():
            found = self._serving.query(coordinates, count)
        if len(pending):
            found = np.concatenate([found, np.broadcast_to(pending, (len(found), len(pending)))], axis=1)
        return Proposal(found, behind, self._failed)

    def _pending(self) -> tuple[int, NDArray[np.int64]]:
        """Return how many pending rows can't be proposed, and those that can: few are, whoever asks."""
        with self._changed:
            count = self._backlog.count
            if count > _FEW:
                return count, _NO_ROWS
            return 0, self._backlog.rows() if count else _NO_ROWS

    # --- following, in a thread of its own --------------------------------------------------------------------------

    def _follow(self) -> None:
        try:
            while True:
                with self._changed:
                    while self._running and not self._backlog.count and not self._is_worn(self._serving):
                        self._changed.wait()
                    if not self._running:
                        return
                if self._is_worn(self._serving):
                    self._rebuild()
                else:
                    self._catch_up(self._serving, self._backlog)
        except Exception:
            self._failed = True
            log.critical("the graph follows no more: new templates are found by the sweep alone", exc_info=True)

    def _is_worn(self, graph: Hnsw) -> bool:
        worn = graph.tombstones > self._settings.max_tombstones * graph.labels
        return worn and self._building is None and graph.labels >= _SMALLEST_REBUILT

    def _rebuild(self) -> None:
        """Build a new graph of all that the old one has and lacks; that serves on, and follows no more, meanwhile."""
        started = time.monotonic()
        with self._changed:
            self._rebuilding = Backlog(self._serving.rows(), self._backlog.rows())
            building = self._building = self._empty(self._rebuilding.count)
        while self._running:
            self._catch_up(building, self._rebuilding)
            with self._lock.exclusive(), self._changed:
                # Not before it has all: nobody may be in the old one and not in the new one.
                if not self._rebuilding.count and self._running:
                    self._serving, self._building = building, None
                    self._backlog = self._rebuilding
                    break
        log.info("rebuilt the graph of %d templates in %.1f s", self._serving.count, time.monotonic() - started)

    def _catch_up(self, graph: Hnsw, backlog: Backlog) -> None:
        while self._running and backlog.count:
            with self._changed:
                rows = backlog.take(self._slice)
            started = time.monotonic()
            self._add_slice(graph, backlog, rows)
            if started - self._told < _QUIET_S:
                time.sleep(_PAUSES * (time.monotonic() - started))

    def _add_slice(self, graph: Hnsw, backlog: Backlog, rows: NDArray[np.int64]) -> None:
        if not len(rows):
            return
        vectors = self._rotated(rows)
        with self._lock.exclusive():
            started = time.perf_counter()
            labels = graph.insert(vectors)
            elapsed = time.perf_counter() - started
        with self._changed:
            # Those that were removed meanwhile, and may be somebody else's by now, have become -1.
            graph.name(labels, backlog.taken_in())
        self._slice = int(np.clip(len(rows) * _SLICE_S / elapsed, 1, 2 * self._slice))
