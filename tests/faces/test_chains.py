"""Templates that came by another chain than the server's are told of, and served."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gerbang_service.cli.doctor.finding import Level
from gerbang_service.cli.doctor.storage import StorageCheck
from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.faces import CaptureChain
from gerbang_service.domain.subjects import NewTemplate, Subject
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.gallery.options import GalleryOptions
from gerbang_service.running.galleries import fill, warn_of_other_chains
from gerbang_service.store.port import Outcome, Transaction
from gerbang_service.store.sqlite.store import SqliteStore

CHAIN = CaptureChain("d" * 64, 640, "arcface-112")
OTHER = replace(CHAIN, detector_size=320)


@pytest.fixture
def stored(data: Path) -> SqliteStore:
    """A store of a template that came by the chain, and of one that came as a template."""
    store = SqliteStore(data)
    store.bind_model("m", 4, ignore_others=False)

    def enrol(transaction: Transaction) -> Outcome[None]:
        transaction.put_subject(Subject("s"))
        vector = np.array([1, 0, 0, 0], np.float32)
        transaction.add_templates("s", [NewTemplate(vector, None, CHAIN), NewTemplate(vector, None)], "m", 1)
        transaction.next_revision()
        return Outcome(None)

    store.write([enrol])
    return store


def test_a_start_with_another_chain_is_warned_of(stored: SqliteStore, caplog: pytest.LogCaptureFixture) -> None:
    """Both are named. With the same, or where no images are taken, there is nothing to say."""
    gallery = Gallery(4, 0, GalleryOptions())
    with caplog.at_level(logging.WARNING):
        chains = fill(gallery, stored, "m")
        stored.close()
        for same in (CHAIN, None):
            warn_of_other_chains(chains, same)
        assert not caplog.records
        warn_of_other_chains(chains, OTHER)
    (record,) = caplog.records
    assert str(CHAIN) in record.getMessage()
    assert str(OTHER) in record.getMessage()
    assert gallery.size == 2


def test_the_doctor_warns_of_it(stored: SqliteStore, data: Path) -> None:
    """As a warning, since such a server serves."""
    stored.close()
    settings = Settings(data=data, pack="none", encryption=False, audit_log=False)

    def told(chain: CaptureChain) -> list[str]:
        findings = list(StorageCheck(settings, "m", chain)())
        assert not [each for each in findings if each.level is Level.FAIL]
        return [each.text for each in findings if each.level is Level.WARNING and "templates were made" in each.text]

    assert told(CHAIN) == []
    (warning,) = told(OTHER)
    assert str(CHAIN) in warning
