"""The search: questions in, answers of one state out."""

from __future__ import annotations

import logging
import math
import time
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gerbang_service.domain.decision import Candidate, all_silent, ranked
from gerbang_service.domain.errors import DeadlineTooShort, GerbangError
from gerbang_service.domain.questions import Answer, Asked, Lack, Plan, Question
from gerbang_service.gallery.candidates.port import Generator, Probes
from gerbang_service.gallery.consistency import NotAtOnce
from gerbang_service.gallery.exact import compare_all
from gerbang_service.gallery.judge import JUDGED_AT_ONCE, ROUNDING, View, candidates, cosines
from gerbang_service.gallery.nearest import nearest
from gerbang_service.gallery.scopes import Level, Scope
from gerbang_service.gallery.selection import Selection, Selections

log = logging.getLogger(__name__)

# How often a pool is made four times as large before all are compared instead.
_WIDENED_AT_MOST: Final = 2
# One question's candidates; None when its caller has stopped waiting.
_Found: TypeAlias = "list[Candidate] | None"
LATE: Final = "the call's deadline passed before its search was done"


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Questions of one plan and scope. `lacks`: what generators of the plan lack, by name; filled as they are asked.

    `tops`: the highest similarity to each question's probe so far, -infinity for none; not filled for Everybody.
    """

    questions: Sequence[Question]
    scope: Scope
    plan: Plan
    probes: Probes
    lacks: dict[str, Lack]
    tops: list[float]

    @property
    def limit(self) -> int:
        """The most candidates that one of them wants."""
        return max(each.limit for each in self.questions)


class Search:
    """Answers questions by generators and the judge. Thread-safe."""

    def __init__(
        self,
        selections: Selections,
        rotation: NDArray[np.float32],
        plans: Mapping[Plan, Sequence[tuple[Generator, int]]],
    ) -> None:
        """`rotation`: float32 (dimension, directions).

        `plans`: each one's generators, and how many rows each proposes.
        """
        self._selections = selections
        self._rotation = rotation
        self._plans = plans
        self.failures: Counter[str] = Counter()
        """Proposals that failed, by generator."""

    def answer(self, questions: Sequence[Question], view: View) -> list[Asked]:
        """Answer questions, each by itself, from one state. What happens to it meanwhile is the caller's business."""
        answers: list[Asked | None] = [None] * len(questions)
        groups: dict[tuple[Plan, Scope], list[int]] = {}
        for i, question in enumerate(questions):
            try:
                scope = view.state.scopes.of(question.among)
            except GerbangError as error:
                answers[i] = error
            else:
                groups.setdefault((question.plan, scope), []).append(i)
        # What compares everybody goes last: the others need not wait for it.
        for plan, scope in sorted(groups, key=lambda each: each[0] is Plan.EXACT):
            members = groups[plan, scope]
            now = time.monotonic()
            live = [i for i in members if questions[i].answer_by > now]
            if not live:
                continue
            found = self._answer([questions[i] for i in live], plan, scope, view)
            for i, each in zip(live, found, strict=True):
                answers[i] = each
        return [DeadlineTooShort(LATE) if each is None else each for each in answers]

    def _answer(self, questions: Sequence[Question], plan: Plan, scope: Scope, view: View) -> list[Answer | None]:
        lacks: dict[str, Lack] = {}
        tops = [-math.inf] * len(questions)
        found: Sequence[_Found]
        if plan is Plan.EXACT:
            found = compare_all(view, scope, questions, tops)
        else:
            vectors = _probes(questions)
            group = _Group(questions, scope, plan, Probes(vectors, vectors @ self._rotation), lacks, tops)
            found = self._levels(group, view)
        return [
            None if each is None else _answer(each, plan, scope, view, lacks, top)
            for each, top in zip(found, tops, strict=True)
        ]

    def _levels(self, group: _Group, view: View) -> list[_Found]:
        found: list[_Found] = [[] for _ in group.questions]
        for level in group.scope.levels:
            for i, more in enumerate(self._level(group, level, view)):
                before = found[i]
                if more is None or before is None:
                    found[i] = None
                elif more:
                    found[i] = _united(before, more, group.questions[i].limit) if before else more
        return found

    # --- one level --------------------------------------------------------------------------------------------------

    def _level(self, group: _Group, level: Level, view: View) -> Sequence[_Found]:
        """Return for each question the candidates among a level's lists."""
        known = None if level.selection is None else level.selection()
        selection = self._selections.of(level.names, in_force=group.scope.in_force, known=known)
        if selection is not known:
            level.selection = weakref.ref(selection)
        few = selection.rows  # it may be replaced meanwhile
        if few is not None:
            rows = np.ascontiguousarray(np.broadcast_to(few, (len(group.questions), len(few))))
            return self._near(group, level, view, rows, None, selection)
        pool, rows = self._propose(group, selection)
        return self._near(group, level, view, rows, pool, selection)

    def _near(
        self,
        group: _Group,
        level: Level,
        view: View,
        rows: NDArray[np.int64],
        pool: int | None,
        selection: Selection,
    ) -> Sequence[_Found]:
        """Judge the rows that are near. `pool`: how many were proposed at least, None for all that there are."""
        scores = cosines(view.table, group.probes.vectors, rows)
        found: list[_Found] = [[] for _ in group.questions]
        if not scores.size:
            return found
        if group.scope.tells_top:
            _raise_tops(group, view, rows, scores)
        if scores.max() < level.lowest - ROUNDING:  # strangers, as most travellers are
            return found
        if pool is not None:
            rows, scores = _each_once(rows, scores)
        near = scores >= level.lowest - ROUNDING
        asked, place = np.nonzero(near)
        if view.hurried and len(asked) > JUDGED_AT_ONCE:
            raise NotAtOnce
        for i, judged in self._judged(group, view, asked, rows[asked, place], scores[asked, place]):
            found[i] = judged
        if pool is not None:
            for i in np.flatnonzero(np.count_nonzero(near, axis=1) >= pool).tolist():
                if not _is_complete(found[i] or (), group.questions[i].limit, group.scope, scores[i], pool):
                    found[i] = self._widen(group, i, level, view, selection)
        return found

    def _judged(
        self,
        group: _Group,
        view: View,
        asked: NDArray[np.intp],
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
    ) -> Iterator[tuple[int, list[Candidate]]]:
        """Yield the questions that have candidates among near rows, with these. Row i is for question `asked[i]`."""
        floors = view.counting(group.scope, rows)
        reached = np.flatnonzero(scores >= floors - ROUNDING)
        for i in np.unique(asked[reached]).tolist() if len(reached) > 1 else asked[reached].tolist():
            own = reached[asked[reached] == i]
            question = group.questions[i]
            yield i, candidates(view, group.scope, question, rows[own], scores[own], floors[own])

    def _widen(self, group: _Group, i: int, level: Level, view: View, selection: Selection) -> _Found:
        """Answer a question all of whose proposals are near: there may be more of them than were proposed.

        So it is with a subject of many templates, a very low threshold, or many templates of one photo.
        """
        if view.hurried:
            raise NotAtOnce
        question, vectors = group.questions[i], group.probes.vectors[i : i + 1]
        alone = _Group(
            (question,),
            group.scope,
            group.plan,
            Probes(vectors, group.probes.rotated[i : i + 1]),
            group.lacks,
            [group.tops[i]],
        )
        for widened in range(1, _WIDENED_AT_MOST + 1):
            pool, rows = self._propose(alone, selection, 4**widened)
            rows, scores = _each_once(rows, cosines(view.table, vectors, rows))
            near = np.flatnonzero(scores[0] >= level.lowest - ROUNDING)
            judged = dict(self._judged(alone, view, np.zeros(len(near), np.intp), rows[0][near], scores[0][near]))
            found = judged.get(0, [])
            if len(near) < pool or pool >= selection.count:
                return found
            if _is_complete(found, question.limit, group.scope, scores[0], pool):
                return found
        return compare_all(view, group.scope, (question,), alone.tops)[0]

    # --- proposing --------------------------------------------------------------------------------------------------

    def _propose(self, group: _Group, selection: Selection, times: int = 1) -> tuple[int, NDArray[np.int64]]:
        """Return how many rows each probe was to get at least, and rows for each; int64, -1 for none.

        Each generator proposes a row once.
        """
        proposed, least = [], 0
        for generator, count in self._plans[group.plan]:
            wanted = times * count
            if generator.required or len(self._plans[group.plan]) == 1:
                wanted = least = min(selection.count, times * max(count, 2 * group.limit))
            try:
                proposal = generator.propose(group.probes, wanted, selection)
            except Exception:
                self.failures[generator.name] += 1
                if generator.required:
                    raise
                log.exception("generator %s failed to propose: the answer says so", generator.name)
                group.lacks[generator.name] = Lack(generator.name, 0, failed=True)
                continue
            if proposal.behind or proposal.failed:
                group.lacks[generator.name] = Lack(generator.name, proposal.behind, failed=proposal.failed)
            proposed.append(proposal.rows)
        if not proposed:
            return least, np.full((len(group.questions), 0), -1, np.int64)
        return least, np.concatenate(proposed, axis=1)


def _raise_tops(group: _Group, view: View, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
    """Raise what each question knows as the highest similarity so far to that of the rows."""
    for i, probe in enumerate(group.probes.vectors):
        group.tops[i] = max(group.tops[i], nearest(view, group.scope, probe, rows[i], scores[i]))


def _answer(
    found: list[Candidate], plan: Plan, scope: Scope, view: View, lacks: Mapping[str, Lack], top: float
) -> Answer:
    state = view.state
    # Who was found last may have been proposed by a wider look only.
    best = max(top, found[0].similarity) if found and scope.tells_top else top
    return Answer(
        found,
        scope.default,
        plan,
        state.revision,
        state.size,
        view.moment_ns,
        tuple(lacks.values()),
        None if best == -math.inf else best,
    )


def _probes(questions: Sequence[Question]) -> NDArray[np.float32]:
    """Return the questions' probes; float32 (questions, dimension)."""
    if len(questions) == 1:
        return questions[0].probe[np.newaxis]
    return np.stack([each.probe for each in questions])


def _each_once(rows: NDArray[np.int64], scores: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return each probe's rows and their scores, ascending; for repeated ones -1, and -infinity."""
    order = np.argsort(rows, axis=1)
    rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    repeated = rows[:, 1:] == rows[:, :-1]
    rows[:, 1:][repeated] = -1
    scores[:, 1:][repeated] = -np.inf
    return rows, scores


def _is_complete(found: Sequence[Candidate], limit: int, scope: Scope, scores: NDArray[np.float32], pool: int) -> bool:
    """Tell whether nothing beyond a pool, all of which is near, can be as good as the last one found.

    Beyond the pool there is only what is less similar than its last row, as far as the sketches can tell. Who is as
    similar as the last one found may have a smaller id; and who is to be stopped is wanted however many silent alerts
    are more similar.
    """
    if len(found) < limit or (scope.stop_floor is not None and all_silent(found)):
        return False
    return found[-1].similarity > float(np.partition(scores, -pool)[-pool]) + ROUNDING


def _united(one: Sequence[Candidate], other: Sequence[Candidate], limit: int) -> list[Candidate]:
    """Return the best of both; who is in both is in both the same."""
    return ranked({each.subject_id: each for each in (*one, *other)}.values(), limit)
