"""Following what another process wrote brings a gallery to the very state that loading it anew would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gerbang_service.access.identity import LOCAL
from gerbang_service.changing.one_face import OneFace
from gerbang_service.changing.storing import NewEnrolment, OnExisting
from gerbang_service.changing.storing import store as enroll
from gerbang_service.changing.subjects import SubjectChange, delete_subject, delete_template, update_subject
from gerbang_service.changing.watchlists import create_watchlist, delete_watchlist
from gerbang_service.domain.changes import Change
from gerbang_service.domain.errors import GerbangError
from gerbang_service.domain.subjects import NewTemplate, Subject
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.gallery.options import GalleryOptions
from gerbang_service.store.port import FellBehind, Operation, Outcome
from gerbang_service.store.sqlite.store import SqliteStore

MODEL, DIMENSION = "m", 8
names, lists = st.sampled_from(["a", "b", "c"]), st.sampled_from(["v", "w"])


def enrolment(name: str, watchlist: str, on_existing: OnExisting, seed: int) -> Operation[Any]:
    vector = np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    new = NewTemplate(vector / np.float32(np.linalg.norm(vector)), None)
    listed = () if on_existing is OnExisting.ADD else (watchlist,)
    return enroll(
        LOCAL,
        NewEnrolment(Subject(name, listed), [new], MODEL, on_existing, "", b"", OneFace(0.5, allow_different=True)),
    )


moves = st.builds(lambda each: SubjectChange({"watchlists": (each,)}), lists)
operations = st.one_of(
    st.builds(enrolment, names, lists, st.sampled_from(OnExisting), st.integers(0, 10**6)),
    st.builds(update_subject, st.just(LOCAL), names, moves),
    st.builds(delete_subject, st.just(LOCAL), names),
    st.builds(delete_template, st.just(LOCAL), names, st.integers(1, 12)),
    st.builds(lambda each: create_watchlist(Watchlist(each)), lists),
    st.builds(lambda each: delete_watchlist(each, force=True), lists),
)


def opened(folder: Path) -> SqliteStore:
    store = SqliteStore(folder, followed=True)
    store.bind_model(MODEL, DIMENSION, ignore_others=False)
    return store


def write(store: SqliteStore, operation: Operation[Any]) -> None:
    """Write as a worker does."""
    (result,) = store.write([operation])
    assert isinstance(result, Outcome | GerbangError), result


def loaded(store: SqliteStore) -> Gallery:
    gallery = Gallery(DIMENSION, 16, GalleryOptions())
    with store.contents(MODEL) as contents:
        gallery.load(contents)
    return gallery


def findable(gallery: Gallery, *lists: str) -> set[str]:
    """Return whom a search of these lists may find; none named: all."""
    selected = gallery._contents.selections.of(frozenset(lists or gallery.watchlist_ids), in_force=True)
    assert selected.rows is not None
    return {owner.subject_id for row in selected.rows if (owner := gallery._table.owners[row]) is not None}


def content(gallery: Gallery) -> object:
    """Return all that a search could tell apart, whatever rows it lies in."""
    table, subjects = gallery._table, gallery._contents._owners.values()
    known = {
        each.subject_id: (
            each.combination.names,
            each.labels,
            each.expire_time_ns,
            {int(table.template_ids[row]): table.vectors[row].tobytes() for row in each.rows},
        )
        for each in subjects
    }
    on_lists = {each: findable(gallery, each) for each in gallery.watchlist_ids}
    return gallery.revision, gallery.size, dict(gallery.watchlists), known, on_lists


@settings(max_examples=60, deadline=None)
@given(chunks=st.lists(st.lists(operations, max_size=6), max_size=5))
def test_following_equals_loading(tmp_path_factory: pytest.TempPathFactory, chunks: list[list[Operation[Any]]]) -> None:
    """Whatever is written, and however much of it between two looks, the follower holds what the store holds."""
    store = opened(tmp_path_factory.mktemp("followed") / "data")
    try:
        for each in ("v", "w"):
            write(store, create_watchlist(Watchlist(each)))
        follower = loaded(store)
        for chunk in chunks:
            for operation in chunk:
                write(store, operation)
            store.follow(follower)
            assert content(follower) == content(loaded(store))
    finally:
        store.close()


def test_what_others_wrote_becomes_visible_at_once(tmp_path: Path) -> None:
    """Somebody moved to a new list, the old one deleted: the follower is told all of it in one go."""

    class Told:
        """A follower that notes what it is told."""

        def __init__(self, gallery: Gallery) -> None:
            self._gallery = gallery
            self.revision, self.watchlist_ids = gallery.revision, gallery.watchlist_ids
            self.template_ids = gallery.template_ids
            self.groups: list[list[Change]] = []

        def apply(self, changes: Sequence[Change], revision: int) -> None:
            self.groups.append(list(changes))
            self._gallery.apply(changes, revision)

    store = opened(tmp_path / "data")
    try:
        write(store, create_watchlist(Watchlist("v")))
        write(store, enrolment("a", "v", OnExisting.REJECT, 1))
        follower = loaded(store)
        told = Told(follower)
        write(store, create_watchlist(Watchlist("w")))
        write(store, update_subject(LOCAL, "a", SubjectChange({"watchlists": ("w",)})))
        write(store, delete_watchlist("v", force=True))
        store.follow(told)
        assert len(told.groups) == 1
        assert findable(follower) == {"a"}
        assert content(follower) == content(loaded(store))
    finally:
        store.close()


def test_who_fell_behind_is_told(tmp_path: Path) -> None:
    """When the record does not reach back to a gallery's revision, following it fails rather than leaving a gap."""
    store = opened(tmp_path / "data")
    try:
        follower = loaded(store)
        store._followed = False
        write(store, create_watchlist(Watchlist("w")))
        store._followed = True
        write(store, create_watchlist(Watchlist("v")))
        with pytest.raises(FellBehind, match="1 of the 2 changes"):
            store.follow(follower)
    finally:
        store.close()
