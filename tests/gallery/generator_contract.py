"""What every generator of candidates has to hold, whatever it is made of."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import pytest

from gerbang_service.gallery.candidates.port import Added, Generator, Probes
from gerbang_service.gallery.candidates.rotation import rotation

DIMENSION = 32
PEOPLE = 600


@dataclass
class Rows:
    """Rows that count: an Among."""

    mask: np.ndarray

    @property
    def count(self) -> int:
        return int(self.mask.sum())

    @property
    def bits(self) -> np.ndarray:
        return np.packbits(self.mask, bitorder="little")


class World:
    """Templates, by row, as a table would have them."""

    def __init__(self, count: int = PEOPLE, bits: int = 512) -> None:
        random = np.random.default_rng(3)
        vectors = random.standard_normal((count, DIMENSION)).astype(np.float32)
        self.vectors = np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
        self.rotation = rotation(DIMENSION, bits)

    def added(self, rows: np.ndarray) -> Added:
        return Added(rows, rows + 1000, self.vectors[rows], self.vectors[rows] @ self.rotation)

    def probes(self, rows: np.ndarray) -> Probes:
        return Probes(self.vectors[rows], self.vectors[rows] @ self.rotation)

    def rotated(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.vectors[rows] @ self.rotation[:, :DIMENSION])


class GeneratorContract(ABC):
    """Subclass it and make the generator: its tests then run against that one."""

    @abstractmethod
    def generator(self, world: World) -> Generator:
        """Return an empty one, not started."""

    @pytest.fixture
    def world(self) -> World:
        return World()

    def test_who_was_added_is_proposed_to_its_own_face(self, world: World) -> None:
        """Once it is not behind, each template is among the proposals to a probe that equals it."""
        generator = self.generator(world)
        generator.start()
        everybody = np.arange(PEOPLE)
        for part in np.array_split(everybody, 7):
            generator.added(world.added(part))
        caught_up(generator)
        found = generator.propose(world.probes(everybody), 16, Rows(np.ones(PEOPLE, bool))).rows
        generator.stop()
        share = np.mean([row in found[row] for row in everybody.tolist()])
        assert share == 1.0 if generator.required else share > 0.9

    def test_who_is_not_held_yet_is_proposed_or_told_as_behind(self, world: World) -> None:
        """Before it has taken anybody in: what it does not propose, it says that it lacks."""
        generator = self.generator(world)
        everybody = np.arange(PEOPLE)
        generator.added(world.added(everybody))
        proposal = generator.propose(world.probes(everybody), 16, Rows(np.ones(PEOPLE, bool)))
        proposed = np.mean([row in proposal.rows[row] for row in everybody.tolist()])
        assert proposed > 0.9 or proposal.behind == PEOPLE
        assert generator.progress().pending + generator.progress().indexed == PEOPLE

    def test_who_was_removed_is_proposed_no_more(self, world: World) -> None:
        """Removed before, while and after it is taken in; a row that is reused is the new template's."""
        generator = self.generator(world)
        generator.start()
        first, second = np.arange(300), np.arange(300, PEOPLE)
        generator.added(world.added(first))
        generator.removed(first[::2])
        generator.added(world.added(second))
        caught_up(generator)
        generator.removed(first[1::2])
        everybody = Rows(np.ones(PEOPLE, bool))
        found = generator.propose(world.probes(first), 16, everybody).rows
        held = generator.progress()
        generator.stop()
        mask = np.isin(found, first)
        # A sweep's erased sketch is like any other: that such a row does not count is for `among` to say.
        counting = Rows(np.isin(np.arange(PEOPLE), second))
        if generator.required:
            mask = np.isin(generator.propose(world.probes(first), 16, counting).rows, first)
        assert not mask.any()
        assert (held.indexed, held.pending) == (300, 0)

    def test_it_can_be_told_while_it_is_asked(self, world: World) -> None:
        """Proposals beside additions and removals neither fail nor name rows that there never were."""
        generator = self.generator(world)
        generator.start()
        for part in np.array_split(np.arange(PEOPLE), 60):
            generator.added(world.added(part))
            rows = generator.propose(world.probes(part), 8, Rows(np.ones(PEOPLE, bool))).rows
            assert ((rows >= -1) & (rows < PEOPLE)).all()
            generator.removed(part[:2])
        generator.stop()

    def test_progress_adds_up(self, world: World) -> None:
        """Held and pending ones are all that were added and not removed."""
        generator = self.generator(world)
        generator.start()
        generator.added(world.added(np.arange(PEOPLE)))
        generator.removed(np.arange(0, PEOPLE, 3))
        progress = generator.progress()
        generator.stop()
        assert progress.name == generator.name
        assert progress.indexed + progress.pending == PEOPLE - 200
        assert not progress.failed


def caught_up(generator: Generator) -> None:
    """Wait until it holds all that it was told of."""
    until = time.monotonic() + 60
    while generator.progress().pending:
        assert time.monotonic() < until
        time.sleep(0.005)
