"""Any sequence of changes, every answer compared with a brute-force model."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from office import Office, unit

from gerbang_service.domain.questions import Plan
from gerbang_service.domain.watchlists import Watchlist

# Enough that the sweep and the graph are used, and not the comparison one by one that few rows get.
INITIAL = 400
LISTS = ("a", "b")


@dataclass(frozen=True)
class Effort:
    """How many sequences, and how long. GERBANG_TEST_EFFORT multiplies the first."""

    examples: int = 4 * int(os.environ.get("GERBANG_TEST_EFFORT", "1"))
    steps: int = 25


class GalleryMachine(RuleBasedStateMachine):
    """Enrols, deletes, moves and expires people; asks every plan for somebody after each step."""

    @initialize(seed=st.integers(0, 2**32 - 1))
    def fill(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.office = Office(*(Watchlist(name) for name in LISTS))
        self.number = INITIAL
        self.gone: list[np.ndarray] = []
        self.office.enrol_all([(f"s{i}", unit(self.random, 1)) for i in range(1, INITIAL + 1)], "a")

    def teardown(self) -> None:
        if hasattr(self, "office"):
            self.office.gallery.stop()

    def _enrol(self, *lists: str, until_ns: int | None = None) -> None:
        self.number += 1
        self.office.enrol(f"s{self.number}", unit(self.random, 1), *lists, until_ns=until_ns)

    @rule(lists=st.sets(st.sampled_from(LISTS)), count=st.integers(1, 40))
    def enrol(self, lists: set[str], count: int) -> None:
        for _ in range(count):
            self._enrol(*lists)

    @rule(count=st.integers(1, 10))
    def enrol_expired(self, count: int) -> None:
        for _ in range(count):
            self._enrol("a", until_ns=time.time_ns() - 1)

    @precondition(lambda self: self.office.records)
    @rule(share=st.sampled_from([0.02, 0.5]))
    def delete(self, share: float) -> None:
        names = sorted(self.office.records)
        for name in self.random.choice(names, max(1, int(share * len(names))), replace=False):
            self.gone += list(self.office.records[name][1].values())
            self.office.delete(str(name))

    @precondition(lambda self: self.office.records)
    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.office.records)))
        vectors = np.stack(list(self.office.records[name][1].values()))
        self.office.delete(name)
        self.office.enrol(name, vectors, data.draw(st.sampled_from(LISTS)))

    @invariant()
    def answers_are_those_of_brute_force(self) -> None:
        if not hasattr(self, "office"):
            return
        everyone = [v for _, vectors in self.office.records.values() for v in vectors.values()]
        asked = [everyone[i] for i in self.random.integers(0, len(everyone), 5)] if everyone else []
        for probe in asked + self.gone[-5:]:
            expected = self.office.brute_force(probe, 0.7, 5)
            for plan in (Plan.EXACT, Plan.BOTH, Plan.SWEEP):
                found = self.office.identify(probe, plan, threshold=0.7)
                assert [(c.subject_id, c.similarity, c.template_id) for c in found] == expected, plan


TestGallery = GalleryMachine.TestCase
TestGallery.settings = settings(
    max_examples=Effort().examples,
    stateful_step_count=Effort().steps,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
