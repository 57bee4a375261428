"""Two offices with stale views: nobody is on fewer lists than acknowledged changes say; losses are named conflicts."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gerbang_service.access.identity import LOCAL
from gerbang_service.changing.one_face import OneFace
from gerbang_service.changing.safeguards import Safeguards
from gerbang_service.changing.storing import NewEnrolment, OnExisting
from gerbang_service.changing.storing import store as enroll
from gerbang_service.changing.subjects import SubjectChange, delete_subject, update_subject
from gerbang_service.changing.watchlists import create_watchlist, delete_watchlist
from gerbang_service.domain.errors import RevisionConflict, SubjectExists, SubjectNotFound, WatchlistNotFound
from gerbang_service.domain.subjects import NewTemplate, Subject
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.store.memory import MemoryStore
from gerbang_service.store.port import Operation, Outcome, Store
from gerbang_service.store.sqlite.store import SqliteStore

OFFICES = st.sampled_from(["cegah office", "tangkal office"])
NAMES = st.sampled_from(["p1", "p2", "p3"])
LISTS = st.sampled_from(["v", "w", "x"])
SOME = st.frozensets(LISTS)
# The same change with the same one of these is sent again, as after a broken connection; without one it is a new one.
REPEATS = st.sampled_from(["", "", "one", "two"])
REPEATED = uuid.UUID("5b0ef0a2-0a52-4c1c-9a9d-3e6f0a7cf6a1")
EFFORT = int(os.environ.get("GERBANG_TEST_EFFORT", "1"))


class OfficesMachine(RuleBasedStateMachine):
    """What an office has seen of a subject may be old; the model has what was acknowledged."""

    def open(self) -> Store:
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.store = self.open()
        self.views: dict[tuple[str, str], Subject] = {}
        self.revisions: dict[str, int] = {}
        self.on: dict[str, set[str]] = {}
        self.lists = {"v", "w", "x"}
        self.answered: dict[str, tuple[Subject, SubjectChange, str, bool]] = {}
        for name in sorted(self.lists):
            self._write(create_watchlist(Watchlist(name)))

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()

    def _write(self, operation: Operation[Any]) -> Any:
        (outcome,) = self.store.write([operation])
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, Outcome)
        return outcome.answer

    def _acknowledged(self, name: str, lists: set[str], revision: int) -> None:
        self.on[name], self.revisions[name] = lists, revision

    def _conflicts(self, name: str, seen: Subject) -> bool:
        return self.revisions.get(name, 0) != seen.revision

    @rule(office=OFFICES, name=NAMES)
    def look(self, office: str, name: str) -> None:
        with self.store.reading() as reader:
            found = reader.subject(name)
        if found is not None:
            self.views[office, name] = found

    @rule(name=NAMES, lists=SOME, how=st.sampled_from(list(OnExisting)), seed=st.integers(0, 99))
    def enrol(self, name: str, lists: frozenset[str], how: OnExisting, seed: int) -> None:
        self._enrol(name, lists, how, seed, 0)

    @precondition(lambda self: self.views)
    @rule(
        data=st.data(), lists=SOME, how=st.sampled_from([OnExisting.ADD, OnExisting.REPLACE]), seed=st.integers(0, 99)
    )
    def enrol_from_a_view(self, data: st.DataObject, lists: frozenset[str], how: OnExisting, seed: int) -> None:
        seen = self._seen(data)
        stale = self._conflicts(seen.subject_id, seen)
        try:
            self._enrol(seen.subject_id, lists, how, seed, seen.revision)
        except RevisionConflict:
            assert stale
        else:
            assert not stale

    def _enrol(self, name: str, lists: frozenset[str], how: OnExisting, seed: int, expected: int) -> None:
        vector = np.random.default_rng(seed).normal(size=8).astype(np.float32)
        template = NewTemplate(vector / np.linalg.norm(vector), None)
        subject = Subject(name, tuple(sorted(lists)))
        new = NewEnrolment(subject, [template], "m", how, "", b"", OneFace(0.5, allow_different=True), expected)
        try:
            stored = self._write(enroll(LOCAL, new))
        except SubjectExists:
            assert how is OnExisting.REJECT
            assert name in self.on
            return
        except WatchlistNotFound:
            assert not lists <= self.lists
            return
        kept = self.on.get(name, set()) if how is OnExisting.ADD else set()
        self._acknowledged(name, kept | lists, stored.revision)

    @precondition(lambda self: self.views)
    @rule(data=st.data(), lists=SOME, repeat=REPEATS)
    def replace_the_lists(self, data: st.DataObject, lists: frozenset[str], repeat: str) -> None:
        """Read, modify and write: the lists as a whole, from a view that may be old."""
        self._update(self._seen(data), SubjectChange({"watchlists": tuple(sorted(lists))}), repeat)

    @precondition(lambda self: self.views)
    @rule(data=st.data(), add=SOME, remove=SOME, repeat=REPEATS, blind=st.booleans())
    def move(
        self,
        data: st.DataObject,
        add: frozenset[str],
        remove: frozenset[str],
        repeat: str,
        blind: bool,  # noqa: FBT001
    ) -> None:
        """Put somebody on some lists and take them off others: from a view, or whatever was changed since."""
        change = SubjectChange({}, tuple(sorted(add - remove)), tuple(sorted(remove)))
        self._update(self._seen(data), change, repeat, blind=blind)

    def _update(self, seen: Subject, change: SubjectChange, repeat: str, *, blind: bool = False) -> None:
        name = seen.subject_id
        expected = 0 if blind else seen.revision
        request_id = str(uuid.uuid5(REPEATED, f"{repeat} {name} {change} {expected}")) if repeat else ""
        once = Safeguards(request_id, expected).about("update", name, change.fields, change.add, change.remove)
        before = self.on.get(name)
        try:
            done = self._write(update_subject(LOCAL, name, change, once))
        except RevisionConflict as conflict:
            self._check_conflict(conflict, seen, blind=blind)
            return
        except SubjectNotFound:
            assert before is None or once.request_id in self.answered
            return
        except WatchlistNotFound:
            assert not set(change.named_lists) <= self.lists
            return
        assert before is not None
        assert done.replayed == (once.request_id in self.answered)
        if done.replayed:
            return
        assert blind or not self._conflicts(name, seen)
        if repeat:
            self.answered[request_id] = seen, change, repeat, blind
        after = set(change.fields.get("watchlists", before)).union(change.add).difference(change.remove)
        assert (set(done.added), set(done.removed)) == (after - before, before - after)
        self._acknowledged(name, after, done.revision)

    @precondition(lambda self: self.answered)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        """As after a broken connection: whatever was changed since, nothing is."""
        seen, change, repeat, blind = self.answered[data.draw(st.sampled_from(sorted(self.answered)))]
        self._update(seen, change, repeat, blind=blind)

    @precondition(lambda self: self.views)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        seen = self._seen(data)
        try:
            self._write(delete_subject(LOCAL, seen.subject_id, Safeguards("", seen.revision)))
        except RevisionConflict:
            assert self._conflicts(seen.subject_id, seen)
        except SubjectNotFound:
            assert seen.subject_id not in self.on
        else:
            assert not self._conflicts(seen.subject_id, seen)
            del self.on[seen.subject_id], self.revisions[seen.subject_id]

    @rule(name=LISTS)
    def delete_or_make_a_list(self, name: str) -> None:
        """With all on it, which its deletion names as a whole; made anew, nobody is on it."""
        if name not in self.lists:
            self._write(create_watchlist(Watchlist(name)))
            self.lists.add(name)
            return
        self._write(delete_watchlist(name, force=True))
        self.lists.discard(name)
        for lists in self.on.values():
            lists.discard(name)

    def _check_conflict(self, conflict: RevisionConflict, seen: Subject, *, blind: bool) -> None:
        assert not blind
        assert self._conflicts(seen.subject_id, seen)
        assert conflict.metadata["revision"] == str(self.revisions[seen.subject_id])

    def _seen(self, data: st.DataObject) -> Subject:
        return self.views[data.draw(st.sampled_from(sorted(self.views)))]

    @invariant()
    def everybody_is_where_the_acknowledged_changes_say(self) -> None:
        if not hasattr(self, "store"):
            return
        with self.store.reading() as reader:
            stored = {each.subject_id: each for each in reader.subjects(after="", limit=10)}
        assert {name: set(each.watchlists) for name, each in stored.items()} == self.on
        assert {name: each.revision for name, each in stored.items()} == self.revisions


class MemoryOffices(OfficesMachine):
    """With the fake."""

    def open(self) -> Store:
        return MemoryStore("m")


class SqliteOffices(OfficesMachine):
    """With the real store."""

    def open(self) -> Store:
        self.folder = Path(tempfile.mkdtemp(prefix="gerbang-offices-"))
        return SqliteStore(self.folder / "data")

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


def _test(machine: type[OfficesMachine], examples: int) -> Any:
    case = machine.TestCase
    case.settings = settings(
        max_examples=examples * EFFORT, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
    )
    return case


TestMemoryOffices = _test(MemoryOffices, 40)
TestSqliteOffices = _test(SqliteOffices, 12)
