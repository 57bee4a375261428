"""Searches by exact comparison: they share passes, look at deadlines, and hold up nobody else."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
from office import Office, unit

from gerbang_service.asking.asking import Asking, Lanes
from gerbang_service.asking.recall_check import RecallCheck
from gerbang_service.asking.revisions import Revisions
from gerbang_service.domain.errors import DeadlineTooShort, Overloaded
from gerbang_service.domain.questions import (
    Answer,
    Asked,
    Defaults,
    Identification,
    OnLists,
    Plan,
    Question,
    Search1N,
)
from gerbang_service.domain.samples import TemplateSample
from gerbang_service.domain.thresholds import Rule, Source
from gerbang_service.domain.watchlists import Direction, Watchlist
from gerbang_service.gallery import exact
from gerbang_service.gallery.judge import View
from gerbang_service.gallery.scopes import Scope
from gerbang_service.threads.admission import Admission, Deadline
from gerbang_service.threads.batcher import Batcher
from gerbang_service.threads.pool import Pool

PEOPLE = 3000


@pytest.fixture(scope="module")
def office() -> Office:
    made = Office(Watchlist("a"), start=False)
    vectors = unit(np.random.default_rng(61), PEOPLE)
    made.enrol_all([(f"s{i}", each[np.newaxis]) for i, each in enumerate(vectors)], "a")
    return made


def question(office: Office, name: str, plan: Plan, answer_by: float = float("inf")) -> Question:
    vector = next(iter(office.records[name][1].values()))
    return Question(vector, OnLists(Rule(0.9)), 5, plan, answer_by=answer_by)


def test_one_that_is_late_fails_alone(office: Office) -> None:
    """Of a batch, those whose time is over fail with DeadlineTooShort, whatever their plan; the others are answered."""
    past = time.monotonic() - 1
    asked = office.gallery.search(
        [
            question(office, "s1", Plan.SWEEP),
            question(office, "s2", Plan.EXACT, past),
            question(office, "s3", Plan.SWEEP, past),
            question(office, "s4", Plan.EXACT),
        ]
    )
    assert [type(each) for each in asked] == [Answer, DeadlineTooShort, DeadlineTooShort, Answer]


def test_time_that_is_over_ends_a_comparison_between_two_blocks(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it any more, so the rest of the gallery is not read."""
    monkeypatch.setattr(exact, "_BLOCK", 100)
    times = iter(range(1000))
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    (asked,) = office.gallery.search([question(office, f"s{PEOPLE - 1}", Plan.EXACT, answer_by=1e12)])
    assert isinstance(asked, Answer)
    blocks = next(times)
    assert blocks >= PEOPLE // 100
    view, scope = _view(office)
    late = question(office, "s1", Plan.EXACT, answer_by=blocks + 5.5)
    assert exact.compare_all(view, scope, [late], [-1.0]) == [None]
    assert next(times) <= blocks + 8


def test_a_batch_reads_the_gallery_once(office: Office) -> None:
    """Many exact questions share each block: their answers are those of asking one by one."""
    many = [question(office, f"s{number}", Plan.EXACT) for number in range(0, PEOPLE, 100)]
    together = office.gallery.search(many)
    alone = [office.gallery.search([each])[0] for each in many]
    for one, other in zip(together, alone, strict=True):
        assert isinstance(one, Answer)
        assert isinstance(other, Answer)
        assert one.candidates == other.candidates
        assert one.candidates


async def test_exact_searches_wait_for_each_other_and_others_do_not(office: Office) -> None:
    """While an exact search takes its time, those of other plans are answered: it has a lane of its own."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(questions: Sequence[Question]) -> list[Asked]:
        if questions[0].plan is Plan.EXACT:
            begun.set()
            assert go_on.wait(20)
        return office.gallery.search(questions)

    lanes = Lanes(Batcher(slow, 1, Admission("searches", 100)), Batcher(slow, 1, Admission("exact", 100)))
    never = Deadline.after(None)
    exactly = question(office, "s1", Plan.EXACT)
    waiting = asyncio.create_task(lanes.of(exactly.plan).run([exactly], never))
    await asyncio.to_thread(begun.wait)
    swept = question(office, "s2", Plan.BOTH)
    (asked,) = await asyncio.wait_for(lanes.of(swept.plan).run([swept], never), 10)
    assert isinstance(asked, Answer)
    assert not waiting.done()
    go_on.set()
    (asked,) = await waiting
    assert isinstance(asked, Answer)
    for lane in (lanes.searches, lanes.exact):
        await asyncio.to_thread(lane.stop)


@pytest.mark.parametrize("alone", [True, False])
async def test_a_lane_that_is_full_refuses_only_its_own_searches_of_a_batch(office: Office, alone: bool) -> None:  # noqa: FBT001
    """The others are answered; where all of a batch is refused, the call is."""
    full = Admission("exact", 1)
    lanes = Lanes(Batcher(office.gallery.search, 1, Admission("searches", 9)), Batcher(office.gallery.search, 1, full))
    images = Pool(1, Admission("images", 1), "images")
    asking = Asking(
        office.gallery,
        None,
        Revisions(office.revision),
        Defaults(Rule(0.99), Rule(0.99).at(0.99, Source.SETTING), Plan.SWEEP),
        images=images,
        lanes=lanes,
        recall_check=RecallCheck(office.gallery, 0),
    )
    probe = TemplateSample(question(office, "s1", Plan.EXACT).probe)
    plans = [Plan.EXACT] if alone else [Plan.EXACT, None]
    searches = [Search1N(probe, (), Direction.BOTH, 5, None, plan, 0) for plan in plans]
    with full.admit(1):
        if alone:
            with pytest.raises(Overloaded):
                await asking.identify_many(searches, Deadline.after(5))
        else:
            refused, answered = await asking.identify_many(searches, Deadline.after(5))
            assert isinstance(refused, Overloaded)
            assert isinstance(answered, Identification)
            assert [each.subject_id for each in answered.answer.candidates] == ["s1"]
    for lane in (lanes.searches, lanes.exact):
        await asyncio.to_thread(lane.stop)


def _view(office: Office) -> tuple[View, Scope]:
    contents = office.gallery._contents
    return View(office.gallery._table, contents.state, time.time_ns()), contents.state.scopes.of(OnLists(Rule(0.9)))
