"""Following what another process wrote brings a gallery to the very state that loading it anew would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gerbang_service.domain.errors import GerbangError
from gerbang_service.domain.subjects import NewTemplate, Subject
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery.gallery import Gallery, GalleryOptions
from gerbang_service.operations import (
    Enrolment,
    OnExisting,
    create_watchlist,
    delete_subject,
    delete_template,
    delete_watchlist,
    enroll,
    update_subject,
)
from gerbang_service.store import reading
from gerbang_service.store.following import FellBehind, changes_since
from gerbang_service.store.store import Store
from gerbang_service.writer import Operation, Outcome

MODEL, DIMENSION = "m", 8
names, lists = st.sampled_from(["a", "b", "c"]), st.sampled_from(["v", "w"])


def enrolment(name: str, watchlist: str, on_existing: OnExisting, seed: int) -> Operation[Any]:
    vector = np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    new = NewTemplate(vector / np.float32(np.linalg.norm(vector)), None)
    listed = () if on_existing is OnExisting.ADD else (watchlist,)
    return enroll(Enrolment(Subject(name, listed), [new], MODEL, on_existing, "", b"", lambda _: b""))


operations = st.one_of(
    st.builds(enrolment, names, lists, st.sampled_from(OnExisting), st.integers(0, 10**6)),
    st.builds(update_subject, names, st.builds(lambda each: {"watchlists": (each,)}, lists)),
    st.builds(delete_subject, names),
    st.builds(delete_template, names, st.integers(1, 12)),
    st.builds(lambda each: create_watchlist(Watchlist(each)), lists),
    st.builds(lambda each: delete_watchlist(each, force=True), lists),
)


def write(store: Store, operation: Operation[Any]) -> None:
    """Write as a worker does: the change, and the record of it."""

    def recorded(transaction: Any) -> Outcome[Any]:
        outcome = operation(transaction)
        if outcome.change is not None:
            transaction.record(outcome.change)
        return outcome

    (result,) = store.write_group([recorded])
    assert isinstance(result, Outcome | GerbangError), result


def loaded(store: Store) -> Gallery:
    gallery = Gallery(DIMENSION, 16, GalleryOptions())
    with store.snapshot() as connection:
        gallery.load(
            reading.watchlists(connection),
            reading.all_subjects(connection, MODEL),
            reading.all_templates(connection, MODEL),
            reading.revision(connection),
        )
    return gallery


def follow(gallery: Gallery, store: Store) -> None:
    with store.snapshot() as connection:
        changes, revision = changes_since(connection, gallery, MODEL)
    gallery.apply(*changes)
    gallery.revision = revision


def content(gallery: Gallery) -> object:
    """Return all that a search could tell apart, whatever rows it lies in."""
    columns = gallery.table.columns
    rows = [row for row in range(columns.rows) if columns.live[row]]
    templates = {}
    for row in rows:
        owner = columns.owners[row]
        assert owner is not None
        on = sorted(
            each for each in gallery.watchlists if columns.lists[row] @ gallery.list_bits([gallery.watchlists[each]])
        )
        known = (owner.subject_id, owner.watchlists, on, owner.expire_time_ns)
        templates[int(columns.template_ids[row])] = (known, columns.vectors[row].tobytes())
    return gallery.revision, dict(gallery.watchlists), templates, gallery.subject_count


@settings(max_examples=60, deadline=None)
@given(chunks=st.lists(st.lists(operations, max_size=6), max_size=5))
def test_following_equals_loading(tmp_path_factory: pytest.TempPathFactory, chunks: list[list[Operation[Any]]]) -> None:
    """Whatever is written, and however much of it between two looks, the follower holds what the store holds."""
    store = Store(tmp_path_factory.mktemp("followed") / "data")
    try:
        for each in ("v", "w"):
            write(store, create_watchlist(Watchlist(each)))
        follower = loaded(store)
        for chunk in chunks:
            for operation in chunk:
                write(store, operation)
            follow(follower, store)
            assert content(follower) == content(loaded(store))
    finally:
        store.close()


def test_who_fell_behind_is_told(tmp_path: Path) -> None:
    """When the record does not reach back to a gallery's revision, following it fails rather than leaving a gap."""
    store = Store(tmp_path / "data")
    try:
        follower = loaded(store)
        unrecorded: Callable[[Any], Any] = create_watchlist(Watchlist("w"))
        store.write_group([unrecorded])
        write(store, create_watchlist(Watchlist("v")))
        with store.snapshot() as connection, pytest.raises(FellBehind, match="1 of the 2 changes"):
            changes_since(connection, follower, MODEL)
    finally:
        store.close()
