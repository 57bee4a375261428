"""The gallery: all live templates, the lists they are on, and the search over them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.changes import Change
from gerbang_service.domain.errors import SubjectHasNoTemplate, SubjectNotFound
from gerbang_service.domain.questions import Asked, Comparison1, Plan, Question
from gerbang_service.domain.thresholds import Rule
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery.candidates.graph import Graph
from gerbang_service.gallery.candidates.port import Generator, GeneratorProgress
from gerbang_service.gallery.candidates.rotation import rotation
from gerbang_service.gallery.candidates.sweep import Sweep
from gerbang_service.gallery.consistency import Consistency, Disturbed, NotAtOnce
from gerbang_service.gallery.contents import GalleryContents
from gerbang_service.gallery.judge import View, exact
from gerbang_service.gallery.options import GalleryOptions, default_sketch_bits
from gerbang_service.gallery.scopes import InForce
from gerbang_service.gallery.search import Search
from gerbang_service.gallery.table import Table
from gerbang_service.store.port import Contents

# What of a template is in the graph: so many of its rotated coordinates. At a third of the memory of all 512 the graph
# finds more mates in the same time (docs/search.md).
_GRAPH_DIRECTIONS: Final = 128
# Rows that the graph is asked for when it is measured alone.
_GRAPH_ALONE: Final = 64


class Gallery:
    """Answers from memory. `load` and `apply` belong to one thread; everything else may be called from any.

    An answer is of one state: that of its revision, at its moment. Nothing of another is in it, and nothing is missing.
    """

    def __init__(
        self,
        dimension: int,
        capacity: int,
        options: GalleryOptions,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        """`dimension`: of the templates; `capacity`: rows to make room for at once.

        `clock`: tells the time, ns since the epoch; it may be set back.
        """
        bits = options.sketch_bits or default_sketch_bits(dimension)
        directions = min(_GRAPH_DIRECTIONS, dimension)
        turned = rotation(dimension, max(bits, directions))
        self._table = table = Table(dimension, capacity)
        for_graph = np.ascontiguousarray(turned[:, :directions])
        sweep = Sweep(bits, capacity, options.processors)
        graph = Graph(directions, lambda rows: table.vectors[rows] @ for_graph, options.graph, capacity)
        self._generators: Sequence[Generator] = (sweep, graph)
        self._clock = clock
        self._consistency = Consistency()
        self._contents = GalleryContents(table, turned, self._generators, self._consistency, clock())
        swept = sweep, options.rescored
        self._search = Search(
            self._contents.selections,
            turned,
            {
                Plan.SWEEP: (swept,),
                Plan.BOTH: (swept, (graph, options.graph.ef)),
                Plan.GRAPH: ((graph, _GRAPH_ALONE),),
            },
        )

    def start(self) -> None:
        """Start what generators do in threads of their own."""
        for each in self._generators:
            each.start()

    def stop(self) -> None:
        """End that."""
        for each in self._generators:
            each.stop()

    # --- telling ----------------------------------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """Of the state that is searched."""
        return self._contents.state.revision

    @property
    def size(self) -> int:
        """Live templates."""
        return self._contents.state.size

    @property
    def subject_count(self) -> int:
        """Subjects, those without templates included."""
        return self._contents.subject_count

    @property
    def watchlists(self) -> Mapping[str, Watchlist]:
        """All watchlists, by id. Replaced, never changed, when one changes."""
        return self._contents.state.scopes.watchlists

    @property
    def watchlist_ids(self) -> Collection[str]:
        """Ids of all watchlists."""
        return self.watchlists.keys()

    def in_force(self, rule: Rule) -> InForce:
        """Return the thresholds of searches of all lists. The same object again until one of them may have moved."""
        return self._contents.state.scopes.in_force(rule)

    def template_ids(self, subject_id: str) -> Sequence[int] | None:
        """Return the ids of a subject's templates, or None when there is no such subject."""
        owner = self._contents.owner(subject_id)
        return None if owner is None else [int(self._table.template_ids[row]) for row in owner.rows]

    def progress(self) -> list[GeneratorProgress]:
        """Tell how far each generator follows, and how often it failed to propose."""
        failures = self._search.failures
        return [replace(each.progress(), failures=failures[each.name]) for each in self._generators]

    def sample(self, count: int, random: np.random.Generator) -> list[tuple[str, int, NDArray[np.float32]]]:
        """Return up to `count` live templates, drawn at random: (subject_id, template_id, vector)."""

        def drawn(_: object) -> list[tuple[str, int, NDArray[np.float32]]]:
            live = np.flatnonzero(self._table.visible(slice(0, self._table.rows), self.revision))
            rows = random.choice(live, min(count, len(live)), replace=False) if len(live) else live
            owners = [self._table.owners[row] for row in rows.tolist()]
            return [
                (owner.subject_id, int(self._table.template_ids[row]), self._table.vectors[row].copy())
                for row, owner in zip(rows.tolist(), owners, strict=True)
                if owner is not None
            ]

        return self._consistency.read(drawn)

    # --- asking -----------------------------------------------------------------------------------------------------

    def search(self, questions: Sequence[Question]) -> list[Asked]:
        """Answer questions, in order, all of one state; one that can't be answered has its error instead.

        That is WatchlistNotFound, or DeadlineTooShort. Only questions of plan EXACT may name a moment, all the same
        one.
        """
        moment = questions[0].moment_ns if questions else None

        if moment is None:
            return self._consistency.read(partial(self._answered, questions), self._now)
        return self._consistency.read(
            lambda at: self._search.answer(questions, View(self._table, self._contents.state, at)), lambda: moment
        )

    def at_once(self, question: Question) -> Asked | None:
        """Answer a question as `search` does, or return None where that would wait for somebody or take long.

        For one thread, which others wait for: the event loop's.
        """
        if question.plan is Plan.EXACT or question.moment_ns is not None:
            return None
        try:
            return self._consistency.at_once(partial(self._answered, (question,), hurried=True), self._now)[0]
        except NotAtOnce:
            return None

    def _answered(self, questions: Sequence[Question], now_ns: int, *, hurried: bool = False) -> list[Asked]:
        state = self._contents.state
        # After that: somebody in this state may have come since, and not be in the selections as of this moment.
        if not self._contents.validity.holds(now_ns):
            raise Disturbed
        return self._search.answer(questions, View(self._table, state, now_ns, hurried))

    def _now(self) -> int:
        """Return the time, and see to it that those count whose validity holds then."""
        validity, now = self._contents.validity, self._clock()
        if validity.holds(now):
            return now
        with self._consistency.held_off():
            # Looked at anew: while this one waited, another may have moved further on.
            now = self._clock()
            if not validity.holds(now):
                self._contents.move_to(now)
        return now

    def compare(
        self, probe: NDArray[np.float32], subject_id: str, seen_by: frozenset[str] | None = None
    ) -> Comparison1:
        """Compare a probe with a subject's templates, whatever its validity, and return the most similar.

        `seen_by`: the lists that the caller is bound to, None for all. Raises SubjectNotFound, also for a subject on
        none of these, or SubjectHasNoTemplate.
        """
        return self._consistency.read(lambda _: self._compared(probe, subject_id, seen_by))

    def _compared(self, probe: NDArray[np.float32], subject_id: str, seen_by: frozenset[str] | None) -> Comparison1:
        revision = self.revision
        owner = self._contents.owner(subject_id)
        rows = np.array(owner.rows if owner else (), np.int64)
        to_come = len(rows) > 0 and bool((self._table.born[rows] > revision).all())
        if owner is None or to_come or not (seen_by is None or not seen_by.isdisjoint(owner.combination.names)):
            raise SubjectNotFound(f"no subject {subject_id}", subject_id=subject_id)
        rows = rows[self._table.visible(rows, revision)]
        if not len(rows):
            raise SubjectHasNoTemplate(f"subject {subject_id} has no template", subject_id=subject_id)
        scores = exact(self._table, probe, rows)
        # Of equally similar ones the oldest.
        ids = self._table.template_ids[rows]
        best = np.lexsort((ids, -scores))[0]
        return Comparison1(float(scores[best]), int(ids[best]), revision)

    # --- changing ---------------------------------------------------------------------------------------------------

    def apply(self, changes: Sequence[Change], revision: int) -> None:
        """Make committed changes visible, all at once; they lead to `revision`."""
        self._contents.apply(changes, revision)

    def load(self, contents: Contents, check: Callable[[], None] = lambda: None) -> None:
        """Fill an empty gallery. `check` is called between batches, and may raise to give up.

        Raises StartupError for a template whose vector can't be one: the database was damaged or tampered with.
        """
        self._contents.load(contents, check)
