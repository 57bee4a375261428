"""Who has expired is erased when the time has passed, whatever the clock says meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from gerbang_service.changing.expiring import Erased, Expiring
from gerbang_service.changing.seen_time import SeenTime
from gerbang_service.changing.writer import Writer
from gerbang_service.domain.changes import SubjectPut
from gerbang_service.domain.errors import AuditUnavailable
from gerbang_service.domain.subjects import Subject
from gerbang_service.store.memory import MemoryStore
from gerbang_service.store.port import Operation, Outcome, Transaction
from store.writes import Mirror

DAY = 86_400 * 10**9
NOW = 20_000 * DAY
KEPT_DAYS = 30
WAIT_S = 5.0


@dataclass
class Clocks:
    """A clock that may jump, and what nobody can set."""

    clock: int = NOW
    seen: int = 0

    def pass_days(self, days: float) -> None:
        self.clock += int(days * DAY)
        self.seen += int(days * DAY)

    def time(self, begun: int | None) -> SeenTime:
        return SeenTime(begun, lambda: self.clock, lambda: self.seen)


def test_the_time_that_counts_does_not_jump() -> None:
    """It comes back to a clock that is ahead at twice the pace, and goes back with one that is set back."""
    clocks = Clocks()
    time = clocks.time(NOW)
    clocks.pass_days(1)
    assert time.now_ns() == NOW + DAY
    clocks.clock += 365 * DAY
    assert time.now_ns() == NOW + DAY
    assert time.behind_ns == 365 * DAY
    clocks.pass_days(10)
    assert time.now_ns() == NOW + 21 * DAY
    clocks.clock = NOW + 15 * DAY
    assert time.now_ns() == NOW + 15 * DAY
    clocks.pass_days(1)
    assert time.now_ns() == NOW + 16 * DAY


def test_it_is_never_ahead_of_the_clock_and_goes_on_where_it_was_noted() -> None:
    """A time that was noted under a clock that was wrong is not believed."""
    assert Clocks().time(NOW + 5 * DAY).now_ns() == NOW
    assert Clocks().time(None).now_ns() == NOW
    assert Clocks().time(NOW - 5 * DAY).now_ns() == NOW - 5 * DAY


@dataclass
class Erasures:
    """What erases expired people of a store, and who was recorded."""

    store: MemoryStore
    writer: Writer
    clocks: Clocks = field(default_factory=Clocks)
    recorded: list[Erased] = field(default_factory=list)
    recordable: bool = True

    def check(self) -> None:
        if not self.recordable:
            raise AuditUnavailable("nothing can be recorded")

    async def record(self, erased: Erased) -> None:
        self.recorded.append(erased)

    def run(self, days: float = 0) -> list[str]:
        """Begin as a server does, look, let so many days pass, and look again; return who is left."""
        expiring = Expiring(
            self.store,
            self.writer,
            KEPT_DAYS * 86_400,
            check=self.check,
            record=self.record,
            seen_time=self.clocks.time,
        )

        async def both() -> None:
            stopping = asyncio.Event()
            for passed in (0, days):
                self.clocks.pass_days(passed)
                await expiring._pass(stopping)

        asyncio.run(both())
        return self.left()

    def left(self) -> list[str]:
        with self.store.reading() as reader:
            return [each.subject_id for each in reader.subjects(after="", limit=1000)]


def put(subject: Subject) -> Operation[None]:
    def operation(transaction: Transaction) -> Outcome[None]:
        transaction.put_subject(subject)
        return Outcome(None, SubjectPut(transaction.next_revision(), subject, {}))

    return operation


@pytest.fixture
def erasures() -> Iterator[Erasures]:
    """With 45 who expired 31 days ago, one who did 29 days ago, and one who never does."""
    store = MemoryStore("m")
    writer = Writer(store, Mirror(store), max_pending=100, on_revision=lambda _: None, on_failure=lambda: None)
    writer.start()
    base = Subject("never", create_time_ns=1, update_time_ns=NOW)
    people = [base, replace(base, subject_id="recently", expire_time_ns=NOW - 29 * DAY)]
    people += [replace(base, subject_id=f"old-{each}", expire_time_ns=NOW - 31 * DAY) for each in range(45)]
    for each in people:
        writer.submit(put(each)).result(WAIT_S)
    yield Erasures(store, writer)
    writer.stop()


def test_who_expired_long_ago_is_erased_and_recorded(erasures: Erasures) -> None:
    """All of them, in groups, each with a revision of its own."""
    assert erasures.run() == ["never", "recently"]
    assert sorted(each.subject_id for each in erasures.recorded) == sorted(f"old-{each}" for each in range(45))
    assert len({each.revision for each in erasures.recorded}) == 45
    assert {each.expire_time_ns for each in erasures.recorded} == {NOW - 31 * DAY}
    assert erasures.run(days=2) == ["never"]


def test_a_clock_that_jumps_erases_nobody(erasures: Erasures) -> None:
    """Neither while the server runs, nor while it does not: nor by a start and a start again."""
    erasures.run()
    erasures.clocks.clock += 365 * DAY
    assert erasures.run() == ["never", "recently"]
    assert erasures.run() == ["never", "recently"]
    # Somebody is changed meanwhile: that the clock said so then is no reason to believe it.
    erasures.writer.submit(put(Subject("new", update_time_ns=erasures.clocks.clock))).result(WAIT_S)
    assert erasures.run() == ["never", "new", "recently"]
    erasures.clocks.clock -= 365 * DAY
    assert erasures.run(days=0.9) == ["never", "new", "recently"]
    assert erasures.run(days=0.2) == ["never", "new"]


def test_a_clock_that_is_set_back_erases_nobody_before_it_is_time(erasures: Erasures) -> None:
    """It is looked at again when the clock has come there."""
    erasures.clocks.clock -= 10 * DAY
    assert len(erasures.run()) == 47
    assert erasures.run(days=10) == ["never", "recently"]


def test_nobody_is_erased_who_can_not_be_recorded(erasures: Erasures) -> None:
    """As no change is made then."""
    erasures.recordable = False
    with pytest.raises(AuditUnavailable):
        erasures.run()
    assert len(erasures.left()) == 47


def test_who_is_put_on_a_list_anew_meanwhile_stays(erasures: Erasures) -> None:
    """What counts is the date when it is erased, not when it was looked for."""

    def renewed(subject_id: str) -> None:
        erasures.writer.submit(put(Subject(subject_id, expire_time_ns=NOW + DAY, update_time_ns=NOW))).result(WAIT_S)

    class Late(Erasures):
        def check(self) -> None:
            renewed("old-3")

    late = Late(erasures.store, erasures.writer)
    assert "old-3" in late.run()
    assert len(late.recorded) == 44
