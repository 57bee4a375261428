"""A repeated request_id is acknowledged only when its change is visible, and costs the event loop little."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gerbang_service.access.calls import Call
from gerbang_service.access.identity import LOCAL, Identity, Role
from gerbang_service.asking.revisions import Revisions
from gerbang_service.changing.enrolling import Enrolling
from gerbang_service.changing.enrolment import Enrolment
from gerbang_service.changing.one_face import OneFace
from gerbang_service.changing.repeats import Repeats
from gerbang_service.changing.storing import NewEnrolment, OnExisting, Stored, store
from gerbang_service.changing.submitting import Writing
from gerbang_service.changing.watchlists import create_watchlist
from gerbang_service.changing.writer import Writer
from gerbang_service.domain.errors import SubjectExists
from gerbang_service.domain.subjects import NewTemplate, Subject
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.store.port import Outcome
from gerbang_service.store.sqlite.store import SqliteStore
from gerbang_service.threads.admission import Admission, Deadline
from gerbang_service.threads.pool import Pool

REQUEST_ID = "6a3ee1f8-4f0c-4d43-9d39-5b7bb1c3a0a1"
DIGEST = b"d" * 32
CALL = Call("Enroll")
SUBJECT = Subject("s", ("w",))


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[tuple[SqliteStore, Stored]]:
    """A store where another process has enrolled somebody, with a request_id."""
    opened = SqliteStore(tmp_path / "data")
    try:
        opened.bind_model("m", 4, ignore_others=False)
        opened.write([create_watchlist(Watchlist("w"))])
        template = NewTemplate(np.array([1, 0, 0, 0], np.float32), None)
        new = NewEnrolment(SUBJECT, [template], "m", OnExisting.REJECT, REQUEST_ID, DIGEST, OneFace(0.5))
        (outcome,) = opened.write([store(LOCAL, new)])
        assert isinstance(outcome, Outcome)
        assert isinstance(outcome.answer, Stored)
        yield opened, outcome.answer
    finally:
        opened.close()


@pytest.fixture
def queries() -> Iterator[Pool]:
    pool = Pool(1, Admission("queries", 8), "query")
    yield pool
    pool.stop()


def repeat(revisions: Revisions, opened: SqliteStore, queries: Pool) -> Enrolling:
    """Return what answers a repeat: that needs no faces, and writes nothing."""
    nobody: Any = None
    writing = Writing(Writer(opened, nobody, max_pending=1, on_revision=print, on_failure=print), lambda: None)
    return Enrolling(nobody, Repeats(opened, queries, revisions, 0.5), writing, ("m", 4), lambda: 0.5, 0.5, 86400.0)


class Content:
    """What is asked for again; notes in which thread it was digested."""

    def __init__(self) -> None:
        self.digested_by: list[threading.Thread] = []

    def digest(self) -> bytes:
        """Return the digest."""
        self.digested_by.append(threading.current_thread())
        return DIGEST

    def has(self, digest: bytes) -> bool:
        """Compare."""
        return self.digest() == digest


def asked(content: Content) -> Enrolment:
    return Enrolment(SUBJECT, [], OnExisting.REJECT, allow_partial=False, request_id=REQUEST_ID, content=content)


async def test_a_repeat_waits_until_the_change_is_visible(stored: tuple[SqliteStore, Stored], queries: Pool) -> None:
    """Whoever asks next must find the person: in the store they may be earlier than in the gallery."""
    opened, first = stored
    revisions = Revisions(first.revision - 1)
    answering = asyncio.create_task(
        repeat(revisions, opened, queries).enroll(asked(Content()), LOCAL, CALL, Deadline.after(30))
    )
    await asyncio.sleep(0.2)
    assert not answering.done()
    revisions.advance(first.revision)
    answer = await answering
    assert answer.replayed
    assert answer.subject == first.subject
    assert answer.revision == first.revision


async def test_the_digest_is_made_beside_the_event_loop(stored: tuple[SqliteStore, Stored], queries: Pool) -> None:
    """That of 64 MiB of photos takes a tenth of a second, in which no gate would be answered."""
    opened, first = stored
    content = Content()
    await repeat(Revisions(first.revision), opened, queries).enroll(asked(content), LOCAL, CALL, Deadline.after(30))
    assert content.digested_by
    assert threading.current_thread() not in content.digested_by


async def test_who_does_not_see_the_subject_is_told_only_that_it_is_there(
    stored: tuple[SqliteStore, Stored], queries: Pool
) -> None:
    """As for an id that is taken: the first answer may have gone to somebody who sees more."""
    opened, first = stored
    opened.write([create_watchlist(Watchlist("v"))])
    bound = Identity("clerk", Role.ENROLMENT, frozenset({"v"}))
    enrolment = dataclasses.replace(asked(Content()), subject=Subject("s", ("v",)))
    with pytest.raises(SubjectExists):
        await repeat(Revisions(first.revision), opened, queries).enroll(enrolment, bound, CALL, Deadline.after(30))
