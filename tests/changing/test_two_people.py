"""A list that asks for two people: one alone can't make it stop fewer, two together can, and nothing is half done."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gerbang_service.access.identity import LOCAL, Identity, Role
from gerbang_service.changing import wanted
from gerbang_service.changing.ending import end_proposal
from gerbang_service.changing.one_face import OneFace
from gerbang_service.changing.proposals import confirm, withdraw
from gerbang_service.changing.safeguards import UNGUARDED, Safeguards
from gerbang_service.changing.storing import NewEnrolment, OnExisting
from gerbang_service.changing.storing import store as enroll
from gerbang_service.changing.subjects import SubjectChange, delete_subject, delete_template, update_subject
from gerbang_service.changing.two_people import MOST_ABOUT_ONE, Proposing
from gerbang_service.changing.watchlists import create_watchlist, delete_watchlist, update_watchlist
from gerbang_service.domain.errors import (
    FieldInvalid,
    GerbangError,
    ProposalNotFound,
    RevisionConflict,
    RoleDenied,
    SamePerson,
    SecondPersonNeeded,
    TooManyProposals,
)
from gerbang_service.domain.faces import Quality
from gerbang_service.domain.proposals import Kind, Proposal
from gerbang_service.domain.subjects import NewTemplate, Subject, TemplateInfo
from gerbang_service.domain.watchlists import Action, Direction, Watchlist
from gerbang_service.store.memory import MemoryStore
from gerbang_service.store.port import Operation, Outcome, Store
from gerbang_service.store.sqlite import proposals
from gerbang_service.store.sqlite.store import SqliteStore
from running import operator_key
from store.writes import CHAIN, Mirror

ALICE, AGAIN, CAPITAL, BOB = (Identity(name, Role.ADMIN) for name in ("alice#1", "alice#2", "Alice#4", "bob#3"))
# Of a token that was made without a name.
UNNAMED = Identity("0123456789ab#0123456789ab", Role.ADMIN)
CLERK = Identity("clerk", Role.ENROLMENT)
KEPT_S = 86400.0
QUALITY = Quality(61.25, 140.1, 0.1 + 0.2, 1.5, -2.5)
EFFORT = int(os.environ.get("GERBANG_TEST_EFFORT", "1"))


def written(store: Store, operation: Operation[Any]) -> Any:
    """Have an operation written; return what it answers, or raise what its caller is told."""
    (outcome,) = store.write([operation])
    if isinstance(outcome, Exception):
        raise outcome
    assert isinstance(outcome, Outcome)
    if outcome.failure is not None:
        raise outcome.failure
    return outcome.answer


def new(name: str, seed: int, lists: tuple[str, ...], how: OnExisting, ends: int | None = None) -> NewEnrolment:
    vector = np.random.default_rng(seed).normal(size=8).astype(np.float32)
    template = NewTemplate(vector / np.linalg.norm(vector), QUALITY, CHAIN)
    subject = Subject(name, lists, expire_time_ns=ends)
    return NewEnrolment(subject, [template], "m", how, "", b"", OneFace(0.5, allow_different=True))


class Desk:
    """One person at a store."""

    def __init__(self, store: Store, who: Identity) -> None:
        self.store, self.who = store, who

    def _agreement(self, change: Any, once: Safeguards) -> Proposing:
        return Proposing(self.who, change, KEPT_S, once)

    def enroll(self, wanted_now: NewEnrolment) -> Any:
        agreement = self._agreement(partial(wanted.replace_subject, wanted_now), UNGUARDED)
        return written(self.store, enroll(self.who, wanted_now, agreement))

    def update(self, name: str, change: SubjectChange, once: Safeguards = UNGUARDED) -> Any:
        once = once.about("update", name, change.fields, change.add, change.remove)
        agreement = self._agreement(partial(wanted.update_subject, name, change), once)
        return written(self.store, update_subject(self.who, name, change, once, agreement))

    def delete(self, name: str, once: Safeguards = UNGUARDED) -> Any:
        once = once.about("delete", name)
        agreement = self._agreement(partial(wanted.delete_subject, name), once)
        return written(self.store, delete_subject(self.who, name, once, agreement))

    def delete_template(self, name: str, template_id: int) -> Any:
        agreement = self._agreement(partial(wanted.delete_template, name, template_id), UNGUARDED)
        return written(self.store, delete_template(self.who, name, template_id, UNGUARDED, agreement))

    def update_list(self, name: str, changed: dict[str, Any]) -> Any:
        agreement = self._agreement(partial(wanted.update_watchlist, name, changed), UNGUARDED)
        return written(self.store, update_watchlist(name, changed, UNGUARDED, agreement))

    def delete_list(self, name: str) -> Any:
        agreement = self._agreement(partial(wanted.delete_watchlist, name, force=True), UNGUARDED)
        return written(self.store, delete_watchlist(name, force=True, agreement=agreement))

    def confirm(self, proposal_id: int) -> Any:
        return written(self.store, confirm(self.who, proposal_id, "m"))

    def withdraw(self, proposal_id: int) -> Any:
        return written(self.store, withdraw(self.who, proposal_id))


def proposed(call: Any) -> int:
    """Make a call that must be proposed; return the proposal's id."""
    with pytest.raises(SecondPersonNeeded) as raised:
        call()
    return int(raised.value.metadata["proposal_id"])


def waiting(store: Store) -> list[Proposal]:
    with store.reading() as reader:
        return reader.proposals(after=0, limit=100)


def person(store: Store, name: str) -> Subject:
    with store.reading() as reader:
        found = reader.subject(name)
    assert found is not None
    return found


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store with list `two`, that asks for two people, `one`, that does not, and p on both with two templates."""
    opened: Store = MemoryStore("m") if request.param == "memory" else SqliteStore(tmp_path / "data", operator_key())
    for each in (Watchlist("two", threshold=0.5, two_person_removal=True), Watchlist("one")):
        written(opened, create_watchlist(each))
    desk = Desk(opened, ALICE)
    desk.enroll(new("p", 1, ("one", "two"), OnExisting.REJECT))
    desk.enroll(new("p", 2, (), OnExisting.ADD))
    yield opened
    opened.close()


CHANGES: dict[str, tuple[Kind, Any]] = {
    "deleted": (Kind.DELETE_SUBJECT, lambda desk: desk.delete("p")),
    "taken off": (Kind.UPDATE_SUBJECT, lambda desk: desk.update("p", SubjectChange(remove=("two",)))),
    "moved": (Kind.UPDATE_SUBJECT, lambda desk: desk.update("p", SubjectChange({"watchlists": ("one",)}))),
    "shorter": (Kind.UPDATE_SUBJECT, lambda desk: desk.update("p", SubjectChange({"expire_time_ns": 10**18}))),
    "one template": (Kind.DELETE_TEMPLATE, lambda desk: desk.delete_template("p", 1)),
    "replaced": (Kind.REPLACE_SUBJECT, lambda desk: desk.enroll(new("p", 3, ("two",), OnExisting.REPLACE))),
    "milder": (Kind.UPDATE_WATCHLIST, lambda desk: desk.update_list("two", {"action": Action.SILENT_ALERT})),
    "narrower": (Kind.UPDATE_WATCHLIST, lambda desk: desk.update_list("two", {"direction": Direction.ARRIVAL})),
    "stricter": (Kind.UPDATE_WATCHLIST, lambda desk: desk.update_list("two", {"threshold": 0.6})),
    "switched off": (Kind.UPDATE_WATCHLIST, lambda desk: desk.update_list("two", {"two_person_removal": False})),
    "list deleted": (Kind.DELETE_WATCHLIST, lambda desk: desk.delete_list("two")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_one_proposes_and_another_makes_it(store: Store, name: str) -> None:
    """Nothing is changed before; then just what the change alone would have changed, and the proposal is gone."""
    kind, change = CHANGES[name]
    with store.reading() as reader:
        before = reader.subject("p"), reader.watchlists(), reader.revision()
    number = proposed(lambda: change(Desk(store, ALICE)))
    with store.reading() as reader:
        assert (reader.subject("p"), reader.watchlists(), reader.revision() - 1) == before
        assert reader.proposal_counts()["two"] == 1
    (found,) = waiting(store)
    assert (found.proposal_id, found.change.kind, found.proposed_by, found.role) == (number, kind, "alice#1", "admin")
    assert "two" in found.watchlists
    # The same again is the same.
    assert proposed(lambda: change(Desk(store, ALICE))) == number
    for same in (ALICE, AGAIN, CAPITAL, UNNAMED, LOCAL):
        with pytest.raises(SamePerson):
            Desk(store, same).confirm(number)
    done = Desk(store, BOB).confirm(number)
    assert waiting(store) == []
    with pytest.raises(ProposalNotFound):
        Desk(store, BOB).confirm(number)
    plain = MemoryStore("m")
    for each in (Watchlist("two", threshold=0.5), Watchlist("one")):
        written(plain, create_watchlist(each))
    alone = Desk(plain, ALICE)
    alone.enroll(new("p", 1, ("one", "two"), OnExisting.REJECT))
    alone.enroll(new("p", 2, (), OnExisting.ADD))
    change(alone)
    assert content(store) == content(plain)
    with store.reading() as reader:
        assert done.revision == reader.revision()


def content(store: Store) -> object:
    """Return who is on which list, with what, and what the lists are."""
    with store.reading() as reader:
        people = [
            (each.subject_id, each.watchlists, each.expire_time_ns, each.labels, [_told(one) for one in each.templates])
            for each in reader.subjects(after="", limit=10)
        ]
        lists = [(each.watchlist_id, each.action, each.direction, each.threshold) for each in reader.watchlists()]
        vectors = [reader.vector(number) for *_, templates in people for number, *_ in templates]
    return people, lists, vectors


def _told(template: TemplateInfo) -> tuple[int, object, object]:
    return template.template_id, template.quality, template.chain


def test_what_stops_nobody_less_needs_nobody_else(store: Store) -> None:
    """Onto more lists, for longer, one more photo, a graver action; and a list that does not ask."""
    desk = Desk(store, ALICE)
    desk.update("p", SubjectChange({"labels": {"a": "b"}, "expire_time_ns": None}))
    desk.update("p", SubjectChange(remove=("one",)))
    desk.update("p", SubjectChange(add=("one",)))
    desk.enroll(new("p", 9, (), OnExisting.ADD))
    desk.update_list("two", {"action": Action.REFUSE_ENTRY, "threshold": 0.4, "title": "t"})
    desk.delete_list("one")
    assert waiting(store) == []


def test_one_that_was_made_from_another_state_stays_and_is_not_made(store: Store) -> None:
    number = proposed(lambda: Desk(store, ALICE).delete("p"))
    Desk(store, BOB).update("p", SubjectChange({"labels": {"a": "b"}}))
    with pytest.raises(RevisionConflict):
        Desk(store, BOB).confirm(number)
    assert [each.proposal_id for each in waiting(store)] == [number]
    # From the state as it is now it is another one.
    assert proposed(lambda: Desk(store, ALICE).delete("p")) != number
    Desk(store, ALICE).withdraw(number)
    with pytest.raises(ProposalNotFound):
        Desk(store, BOB).confirm(number)


def test_a_repeat_is_the_same_proposal_and_then_the_change(store: Store) -> None:
    """Until it is made, whatever was changed since; and a request_id is not used for something else."""
    once = Safeguards(str(uuid.uuid4()))
    number = proposed(lambda: Desk(store, ALICE).delete("p", once))
    Desk(store, BOB).update("p", SubjectChange({"labels": {"a": "b"}}))
    assert proposed(lambda: Desk(store, ALICE).delete("p", once)) == number
    with pytest.raises(FieldInvalid):
        Desk(store, ALICE).update("p", SubjectChange(remove=("two",)), once)
    Desk(store, ALICE).withdraw(number)
    number = proposed(lambda: Desk(store, ALICE).delete("p", once))
    made = Desk(store, BOB).confirm(number)
    again = Desk(store, ALICE).delete("p", once)
    assert (again.replayed, again.revision) == (True, made.revision)


def test_who_follows_what_others_write_goes_on(tmp_path: Path) -> None:
    """As other workers do: a proposal is a revision in which nobody is found any more or less."""
    store = SqliteStore(tmp_path / "data", operator_key(), followed=True)
    written(store, create_watchlist(Watchlist("two", two_person_removal=True)))
    Desk(store, ALICE).enroll(new("p", 1, ("two",), OnExisting.REJECT))
    follower = Mirror(store)
    number = proposed(lambda: Desk(store, ALICE).delete("p"))
    before = follower.revision
    store.follow(follower)
    assert (follower.revision, follower.on) == (before + 1, {"p": ("two",)})
    Desk(store, BOB).confirm(number)
    store.follow(follower)
    assert follower.held() == Mirror(store).held()
    assert follower.on == {}
    store.close()


def test_who_may_not_make_the_change_may_not_confirm_it(store: Store) -> None:
    """Nor give up what others proposed; one's own always."""
    number = proposed(lambda: Desk(store, ALICE).delete_list("two"))
    for call in (Desk(store, CLERK).confirm, Desk(store, CLERK).withdraw):
        with pytest.raises(RoleDenied):
            call(number)
    Desk(store, BOB).withdraw(number)
    number = proposed(lambda: Desk(store, CLERK).delete("p"))
    Desk(store, CLERK).withdraw(number)
    assert waiting(store) == []


def test_who_is_bound_to_lists_sees_what_concerns_no_other(store: Store) -> None:
    bound = Identity("bound", Role.ADMIN, frozenset({"two"}))
    both = proposed(lambda: Desk(store, ALICE).delete("p"))
    with pytest.raises(ProposalNotFound):
        Desk(store, bound).confirm(both)
    own = proposed(lambda: Desk(store, ALICE).update_list("two", {"threshold": 0.9}))
    Desk(store, bound).confirm(own)


def test_what_could_not_be_made_is_not_proposed(store: Store) -> None:
    """A target beside the list's threshold: said at once, and not to the second person."""
    with pytest.raises(FieldInvalid, match="clear the one for the other"):
        Desk(store, ALICE).update_list("two", {"target_fpir": 0.1, "action": Action.SILENT_ALERT})
    assert waiting(store) == []


def test_nobody_piles_up_proposals_about_one_list(store: Store) -> None:
    """All of them are read for each: who has that many is told so, others and other subjects are not concerned."""
    desk = Desk(store, ALICE)
    numbers = [
        proposed(lambda i=i: desk.update_list("two", {"threshold": 0.6 + i / 100})) for i in range(MOST_ABOUT_ONE)
    ]
    for who in (ALICE, AGAIN):
        with pytest.raises(TooManyProposals):
            Desk(store, who).update_list("two", {"threshold": 0.99})
    assert proposed(lambda: desk.update_list("two", {"threshold": 0.6})) == numbers[0]
    proposed(lambda: desk.delete("p"))
    proposed(lambda: Desk(store, BOB).update_list("two", {"threshold": 0.99}))
    desk.withdraw(numbers[0])
    proposed(lambda: desk.update_list("two", {"threshold": 0.99}))


def test_proposals_are_checked_once_a_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes the longer the more there are, and many end at once."""
    store = SqliteStore(tmp_path / "data", operator_key())
    written(store, create_watchlist(Watchlist("two", two_person_removal=True)))
    names = [f"p{i}" for i in range(5)]
    for name in names:
        Desk(store, ALICE).enroll(new(name, 1, ("two",), OnExisting.REJECT))
    numbers = [proposed(partial(Desk(store, ALICE).delete, name)) for name in names]
    checks: list[Any] = []
    whole = proposals.check_proposals

    def check(*of: Any) -> None:
        checks.append(of)
        whole(*of)

    monkeypatch.setattr(proposals, "check_proposals", check)
    outcomes: list[Any] = store.write([end_proposal(each, 1 << 62) for each in numbers])
    assert [each.answer.proposal.proposal_id for each in outcomes] == numbers
    assert len(checks) == 1
    assert waiting(store) == []
    store.close()


def test_proposals_go_with_the_subject_and_with_the_list(store: Store) -> None:
    proposed(lambda: Desk(store, ALICE).update("p", SubjectChange({"labels": {"a": "secret"}}, remove=("two",))))
    proposed(lambda: Desk(store, ALICE).update_list("two", {"threshold": 0.9}))
    Desk(store, BOB).confirm(proposed(lambda: Desk(store, ALICE).delete("p")))
    (left,) = waiting(store)
    assert left.change.watchlist_id == "two"
    Desk(store, BOB).confirm(proposed(lambda: Desk(store, ALICE).delete_list("two")))
    assert waiting(store) == []


def test_one_whose_time_is_over_is_void_and_then_gone(store: Store) -> None:
    number = proposed(lambda: Desk(store, ALICE).delete("p"))
    (found,) = waiting(store)
    now = time.time_ns()
    assert written(store, end_proposal(number, now)) is None

    def late(transaction: Any) -> Outcome[int]:
        transaction.delete_proposal(number)
        key = transaction.put_proposal(replace(found, expire_time_ns=now))
        transaction.next_revision()
        return Outcome(key)

    over = written(store, late)
    assert over > number
    for call in (Desk(store, BOB).confirm, Desk(store, BOB).withdraw):
        with pytest.raises(ProposalNotFound):
            call(over)
    with store.reading() as reader:
        assert reader.ended_proposals(now, 10) == [over]
    ended = written(store, end_proposal(over, now))
    assert (ended.proposal.proposal_id, ended.proposal.proposed_by) == (over, "alice#1")
    assert waiting(store) == []


# --- whatever one person does -----------------------------------------------------------------------------------------

NAMES = st.sampled_from(["p1", "p2"])
SOME = st.frozensets(st.sampled_from(["two", "one"]))
ENDS = st.sampled_from([None, 2 * 10**18, 3 * 10**18])


class OnePerson(RuleBasedStateMachine):
    """Whatever one person does, under two tokens: list `two` goes on to find everybody with all their templates."""

    def open(self) -> Store:
        return MemoryStore("m")

    @initialize()
    def begin(self) -> None:
        self.store = self.open()
        written(self.store, create_watchlist(Watchlist("two", threshold=0.5, two_person_removal=True)))
        written(self.store, create_watchlist(Watchlist("one")))
        self.found: dict[str, tuple[set[int], int | None, int | None]] = {}
        self.list = Watchlist("two", threshold=0.5, two_person_removal=True)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()

    def _try(self, call: Any) -> None:
        with suppress(GerbangError):
            call()

    @rule(
        who=st.sampled_from([ALICE, AGAIN]),
        name=NAMES,
        lists=SOME,
        how=st.sampled_from(list(OnExisting)),
        ends=ENDS,
        seed=st.integers(0, 9),
    )
    def enrol(
        self, who: Identity, name: str, lists: frozenset[str], how: OnExisting, ends: int | None, seed: int
    ) -> None:
        self._try(lambda: Desk(self.store, who).enroll(new(name, seed, tuple(sorted(lists)), how, ends)))

    @rule(who=st.sampled_from([ALICE, AGAIN]), name=NAMES, lists=SOME, ends=ENDS, whole=st.booleans())
    def update(self, who: Identity, name: str, lists: frozenset[str], ends: int | None, whole: bool) -> None:  # noqa: FBT001
        named = tuple(sorted(lists))
        change = SubjectChange({"watchlists": named, "expire_time_ns": ends}) if whole else SubjectChange(remove=named)
        self._try(lambda: Desk(self.store, who).update(name, change))

    @rule(who=st.sampled_from([ALICE, AGAIN]), name=NAMES, number=st.integers(0, 5))
    def delete(self, who: Identity, name: str, number: int) -> None:
        desk = Desk(self.store, who)
        self._try(lambda: desk.delete_template(name, number) if number else desk.delete(name))

    @rule(
        who=st.sampled_from([ALICE, AGAIN]),
        changed=st.fixed_dictionaries(
            {},
            optional={
                "threshold": st.sampled_from([None, 0.4, 0.5, 0.6]),
                "action": st.sampled_from(list(Action)),
                "direction": st.sampled_from(list(Direction)),
                "two_person_removal": st.booleans(),
            },
        ),
    )
    def change_the_list(self, who: Identity, changed: dict[str, Any]) -> None:
        self._try(lambda: Desk(self.store, who).update_list("two", changed))

    @rule(who=st.sampled_from([ALICE, AGAIN]), name=st.sampled_from(["two", "one"]))
    def delete_or_make_a_list(self, who: Identity, name: str) -> None:
        self._try(lambda: Desk(self.store, who).delete_list(name))
        self._try(lambda: written(self.store, create_watchlist(Watchlist(name))))

    @rule(who=st.sampled_from([ALICE, AGAIN]), number=st.integers(1, 30), give_up=st.booleans())
    def confirm_or_withdraw(self, who: Identity, number: int, give_up: bool) -> None:  # noqa: FBT001
        desk = Desk(self.store, who)
        self._try(lambda: desk.withdraw(number) if give_up else desk.confirm(number))

    @invariant()
    def the_list_stops_no_fewer(self) -> None:
        if not hasattr(self, "store"):
            return
        with self.store.reading() as reader:
            now = reader.watchlist("two")
            people = {each.subject_id: each for each in reader.subjects(after="", limit=9, watchlists=["two"])}
        assert now is not None
        assert now.two_person_removal
        assert now.threshold is not None
        assert self.list.threshold is not None
        assert now.threshold <= self.list.threshold
        assert now.action >= self.list.action
        assert now.direction in (self.list.direction, Direction.BOTH)
        self.list = now
        for name, (templates, begins, ends) in self.found.items():
            assert {each.template_id for each in people[name].templates} >= templates
            assert people[name].valid_from_ns == begins
            end = people[name].expire_time_ns
            assert end is None or (ends is not None and end >= ends)
        self.found = {
            name: ({one.template_id for one in each.templates}, each.valid_from_ns, each.expire_time_ns)
            for name, each in people.items()
        }


class OnePersonAtSqlite(OnePerson):
    """With the real store, sealed."""

    def open(self) -> Store:
        self.folder = Path(tempfile.mkdtemp(prefix="gerbang-two-"))
        return SqliteStore(self.folder / "data", operator_key())

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


def _test(machine: type[OnePerson], examples: int) -> Any:
    case = machine.TestCase
    case.settings = settings(
        max_examples=examples * EFFORT, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )
    return case


TestOnePerson = _test(OnePerson, 60)
TestOnePersonAtSqlite = _test(OnePersonAtSqlite, 6)
