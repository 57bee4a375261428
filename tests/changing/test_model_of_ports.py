"""Any sequence of changes through the ports, every answer compared with a plain model: for each store there is."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gerbang_service.access.identity import LOCAL
from gerbang_service.changing.one_face import OneFace
from gerbang_service.changing.storing import NewEnrolment, OnExisting
from gerbang_service.changing.storing import store as enroll
from gerbang_service.changing.subjects import SubjectChange, delete_subject, delete_template, update_subject
from gerbang_service.changing.watchlists import create_watchlist, delete_watchlist, update_watchlist
from gerbang_service.changing.writer import Writer
from gerbang_service.domain.errors import GerbangError, WatchlistNotFound
from gerbang_service.domain.questions import Answer, OnLists, Plan, Question
from gerbang_service.domain.subjects import NewTemplate, Subject
from gerbang_service.domain.thresholds import Rule
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.gallery.options import GalleryOptions
from gerbang_service.store.memory import MemoryStore
from gerbang_service.store.port import Operation, Store
from gerbang_service.store.sqlite.store import SqliteStore

MODEL, DIMENSION, SERVER = "m", 16, 0.5
ANY_FACES = OneFace(SERVER, allow_different=True)
# Enough that the sweep and the graph are asked, and not only the comparison one by one that few rows get.
CROWD = 300
NAMES = st.sampled_from([f"p{number}" for number in range(6)])
LISTS = st.sampled_from(["v", "w", "x"])
EFFORT = int(os.environ.get("GERBANG_TEST_EFFORT", "1"))


@dataclass
class Person:
    """Somebody as the model knows them."""

    lists: set[str]
    begin: int | None = None
    end: int | None = None
    templates: dict[int, np.ndarray] = field(default_factory=dict)


class PortsMachine(RuleBasedStateMachine):
    """Lists and people come, change and go, time moves both ways, the server starts anew; a subclass has the store."""

    def open(self) -> Store:
        raise NotImplementedError

    def reopen(self) -> Store:
        raise NotImplementedError

    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.now = 1000
        self.lists: dict[str, float | None] = {}
        self.people: dict[str, Person] = {}
        self.revision = 0
        self.faces = {f"p{number}": unit(self.random) for number in range(6)}
        self.store = self.open()
        self._serve()
        self.create("v", None)
        self._enrol_crowd()

    def _enrol_crowd(self) -> None:
        vectors = {f"crowd{number}": unit(self.random) for number in range(CROWD)}
        subjects = [
            NewEnrolment(
                Subject(name, ("v",)), [NewTemplate(vector, None)], MODEL, OnExisting.REJECT, "", b"", ANY_FACES
            )
            for name, vector in vectors.items()
        ]
        writing = [self.writer.submit(enroll(LOCAL, each)) for each in subjects]
        for name, written in zip(vectors, writing, strict=True):
            (template_id,) = written.result(30).samples
            assert isinstance(template_id, int)
            self.people[name] = Person({"v"}, templates={template_id: vectors[name]})
        self.revision += CROWD

    def _serve(self) -> None:
        self.gallery = Gallery(DIMENSION, 0, GalleryOptions(), lambda: self.now)
        with self.store.contents(MODEL) as contents:
            self.gallery.load(contents)
        self.gallery.start()
        self.writer = Writer(
            self.store,
            self.gallery,
            max_pending=1000,
            answers_kept_s=3600,
            on_revision=lambda _: None,
            on_failure=lambda: None,
        )
        self.writer.start()

    def _end(self) -> None:
        self.writer.stop()
        self.gallery.stop()

    def teardown(self) -> None:
        if hasattr(self, "writer"):
            self._end()
            self.store.close()

    def _write(self, operation: Operation[Any]) -> Any:
        """Return what a change answers, or None for one that was refused, which changes nothing."""
        try:
            answer = self.writer.submit(operation).result(30)
        except GerbangError:
            return None
        self.revision += 1
        return answer

    # --- lists --------------------------------------------------------------------------------------------------------

    @rule(name=LISTS, threshold=st.sampled_from([None, -1.0, 0.0, 0.3, 0.9]))
    def create(self, name: str, threshold: float | None) -> None:
        done = self._write(create_watchlist(Watchlist(name, threshold=threshold)))
        assert (done is not None) == (name not in self.lists)
        self.lists.setdefault(name, threshold)

    @rule(name=LISTS, threshold=st.sampled_from([None, 0.0, 0.6]))
    def change_threshold(self, name: str, threshold: float | None) -> None:
        done = self._write(update_watchlist(name, {"threshold": threshold}))
        assert (done is not None) == (name in self.lists)
        if done is not None:
            self.lists[name] = threshold

    @rule(name=LISTS, force=st.booleans())
    def drop(self, name: str, force: bool) -> None:  # noqa: FBT001
        members = [each for each in self.people.values() if name in each.lists]
        done = self._write(delete_watchlist(name, force=force))
        assert (done is not None) == (name in self.lists and (force or not members))
        if done is not None:
            del self.lists[name]
            for each in members:
                each.lists.discard(name)

    # --- people -------------------------------------------------------------------------------------------------------

    def _enrol(self, name: str, lists: set[str], vector: np.ndarray, how: OnExisting, **validity: int | None) -> None:
        begin, end = validity.get("begin"), validity.get("end")
        subject = Subject(name, tuple(sorted(lists)), begin, end)
        new = NewEnrolment(subject, [NewTemplate(vector, None)], MODEL, how, "", b"", ANY_FACES)
        done = self._write(enroll(LOCAL, new))
        known = self.people.get(name)
        if known is not None and how is OnExisting.ADD:
            fits = lists <= set(self.lists) and begin in (None, known.begin) and end in (None, known.end)
            assert (done is not None) == fits
            known.lists |= lists if fits else set()
        else:
            fits = (known is None or how is OnExisting.REPLACE) and lists <= set(self.lists)
            assert (done is not None) == fits
            if fits:
                self.people[name] = Person(lists, begin, end)
        if done is not None:
            (template_id,) = done.samples
            self.people[name].templates[template_id] = vector

    @rule(
        name=NAMES,
        lists=st.sets(LISTS),
        how=st.sampled_from(list(OnExisting)),
        begin=st.sampled_from([None, 900, 1010]),
        end=st.sampled_from([None, 1015, 1030]),
    )
    def enrol(self, name: str, lists: set[str], how: OnExisting, begin: int | None, end: int | None) -> None:
        vector = near(self.faces[name], self.random)
        self._enrol(name, lists, vector, how, begin=begin, end=end)

    @rule(name=NAMES, lists=st.sets(LISTS), end=st.sampled_from([None, 1005, 1020]))
    def change(self, name: str, lists: set[str], end: int | None) -> None:
        known = self.people.get(name)
        fields = {"watchlists": tuple(sorted(lists)), "expire_time_ns": end}
        done = self._write(update_subject(LOCAL, name, SubjectChange(fields)))
        fits = known is not None and lists <= set(self.lists)
        fits = fits and (end is None or known is None or known.begin is None or known.begin < end)
        assert (done is not None) == fits
        if done is not None and known is not None:
            known.lists, known.end = lists, end

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        done = self._write(delete_subject(LOCAL, name))
        assert (done is not None) == (self.people.pop(name, None) is not None)

    @rule(name=NAMES)
    def delete_one_template(self, name: str) -> None:
        known = self.people.get(name)
        template_id = min(known.templates, default=0) if known else 0
        done = self._write(delete_template(LOCAL, name, template_id))
        assert (done is not None) == (template_id > 0)
        if done is not None and known is not None:
            del known.templates[template_id]

    # --- time and starts ----------------------------------------------------------------------------------------------

    @rule(now=st.sampled_from([995, 1005, 1012, 1018, 1025, 1040]))
    def set_clock(self, now: int) -> None:
        self.now = now

    @rule()
    def start_anew(self) -> None:
        self._end()
        self.store = self.reopen()
        self._serve()

    # --- answers ------------------------------------------------------------------------------------------------------

    @invariant()
    def answers_are_those_of_the_model(self) -> None:
        if not hasattr(self, "writer"):
            return
        assert self.gallery.revision == self.revision
        assert self.gallery.size == sum(len(each.templates) for each in self.people.values())
        probe = near(self.faces[f"p{self.random.integers(6)}"], self.random)
        for asked in ((), ("w",), ("v", "x")):
            for plan in (Plan.EXACT, Plan.BOTH, Plan.SWEEP):
                (found,) = self.gallery.search([Question(probe, OnLists(Rule(SERVER), asked), 5, plan)])
                if not set(asked) <= set(self.lists):
                    assert isinstance(found, WatchlistNotFound)
                    continue
                assert isinstance(found, Answer)
                answered = [(each.subject_id, each.similarity, each.watchlists) for each in found.candidates]
                assert answered == self._expected(probe, asked), plan
                assert found.revision == self.revision

    def _expected(self, probe: np.ndarray, asked: tuple[str, ...]) -> list[tuple[str, float, tuple[str, ...]]]:
        found = []
        for name, person in self.people.items():
            begun = person.begin is None or person.begin <= self.now
            if not begun or (person.end is not None and person.end <= self.now) or not person.templates:
                continue
            products = [float(each.astype(float) @ probe.astype(float)) for each in person.templates.values()]
            score = float(np.float32(min(1.0, max(products))))
            hit = []
            for each in sorted(person.lists):
                own = self.lists[each]
                if (not asked or each in asked) and score >= np.float32(SERVER if own is None else own):
                    hit.append(each)
            if hit:
                found.append((name, score, tuple(hit)))
        return sorted(found, key=lambda each: (-each[1], each[0]))[:5]


def unit(random: np.random.Generator) -> np.ndarray:
    vector = random.standard_normal(DIMENSION)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def near(vector: np.ndarray, random: np.random.Generator) -> np.ndarray:
    other = vector + 0.15 * random.standard_normal(DIMENSION)
    return np.asarray(other / np.linalg.norm(other), np.float32)


class MemoryMachine(PortsMachine):
    """On the official fake."""

    def open(self) -> Store:
        return MemoryStore(MODEL)

    def reopen(self) -> Store:
        return self.store


class SqliteMachine(PortsMachine):
    """On SQLite, which is opened anew with each start."""

    def open(self) -> Store:
        self.folder = Path(tempfile.mkdtemp(prefix="gerbang-model-"))
        return self.reopen()

    def reopen(self) -> Store:
        if hasattr(self, "store"):
            self.store.close()
        store = SqliteStore(self.folder / "data")
        store.bind_model(MODEL, DIMENSION, ignore_others=False)
        return store

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder, ignore_errors=True)


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples * EFFORT,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


TestOnMemory = MemoryMachine.TestCase
TestOnMemory.settings = _settings(8)
TestOnSqlite = SqliteMachine.TestCase
TestOnSqlite.settings = _settings(4)
