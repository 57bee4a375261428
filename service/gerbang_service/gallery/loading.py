"""Filling an empty gallery with all that is stored.

Reading and decrypting what is stored takes Python's turn all the time; rotating and sketching vectors hardly needs it.
So the one is done in the thread that loads, the other in a second thread beside it, a few batches behind.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.subjects import StoredSubject
from gerbang_service.domain.templates import stored_vectors
from gerbang_service.gallery.combinations import Combination, Combinations
from gerbang_service.gallery.table import ALWAYS, NEVER, NO_LABELS, Owner, Table
from gerbang_service.store.port import Contents

log = logging.getLogger(__name__)

# Subjects between two looks whether a loading is still wanted.
_CHECKED_EVERY: Final = 4096
# Batches that were read and may wait to be taken in: enough that neither thread waits for the other's pauses.
_AHEAD: Final = 8


class Loading:
    """Takes subjects and templates into a table that nobody searches yet. Used once, by one thread."""

    def __init__(self, table: Table, combinations: Combinations, tell: Callable[[NDArray[np.int64]], object]) -> None:
        """`tell`: tells generators of rows, int64 (n,); called in another thread, one at a time."""
        self._table = table
        self._combinations = combinations
        self._tell = tell

    def load(self, contents: Contents, check: Callable[[], None]) -> dict[str, Owner]:
        """Return all subjects by id, when their templates are in the table and told of.

        `check` is called now and then, and may raise to give up. Raises StartupError for a vector that can't be one,
        and what reading raises. No thread is left behind.
        """
        begun = time.monotonic()
        waiting: deque[Future[None]] = deque()
        with ThreadPoolExecutor(1, "load") as beside:
            try:
                waiting.append(beside.submit(self._table.occupy, contents.template_count))
                by_key = self._owners(contents.subjects, check)
                log.info("read %d subjects in %.1f s", len(by_key), time.monotonic() - begun)
                for batch in contents.templates:
                    check()
                    waiting.append(beside.submit(self._take_in, batch, by_key))
                    if len(waiting) > _AHEAD:
                        waiting.popleft().result()
                while waiting:
                    waiting.popleft().result()
            finally:
                beside.shutdown(wait=True, cancel_futures=True)
        return {each.subject_id: each for each in by_key.values()}

    def _owners(self, subjects: Iterator[StoredSubject], check: Callable[[], None]) -> dict[int, Owner]:
        """Return all subjects, without rows yet, by the store's keys."""
        combinations: dict[tuple[str, ...], Combination] = {}
        owners: dict[int, Owner] = {}
        while some := list(islice(subjects, _CHECKED_EVERY)):
            check()
            for key, name, watchlists, begin, end, labels in some:
                combination = combinations.get(watchlists)
                if combination is None:
                    combination = combinations[watchlists] = self._combinations.of(watchlists)[0]
                combination.subjects += 1
                owners[key] = Owner(
                    name,
                    combination,
                    labels or NO_LABELS,
                    ALWAYS if begin is None else begin,
                    NEVER if end is None else end,
                    (),
                )
        return owners

    def _take_in(self, batch: Sequence[tuple[int, int, bytes]], owners: Mapping[int, Owner]) -> None:
        template_ids, keys, stored = zip(*batch, strict=True)
        ids = np.array(template_ids, np.int64)
        vectors = stored_vectors(ids, stored, self._table.dimension)
        theirs = [owners[key] for key in keys]
        rows = self._table.add(theirs, ids, vectors, 0)
        for owner, row in zip(theirs, rows.tolist(), strict=True):
            owner.rows += (row,)
        self._tell(rows)
