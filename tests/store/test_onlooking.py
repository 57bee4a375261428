"""Who only looks at a data folder follows it, changes nothing in it, and holds nothing of it open when let go."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gerbang_service.changing.storing import OnExisting
from gerbang_service.changing.watchlists import create_watchlist
from gerbang_service.domain.errors import StartupError
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.gallery.options import GalleryOptions
from gerbang_service.store.sqlite.connection import DATABASE_FILE
from gerbang_service.store.sqlite.onlooking import Onlooker
from gerbang_service.store.sqlite.store import SqliteStore
from running import operator_key
from workers.test_following import DIMENSION, MODEL, content, enrolment, loaded, opened, write


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A folder in the clear, in use, with `a` on list `v`."""
    made = opened(tmp_path / "data")
    write(made, create_watchlist(Watchlist("v")))
    write(made, enrolment("a", "v", OnExisting.REJECT, 1))
    yield made
    made.close()


def open_files(folder: Path) -> list[str]:
    """Return the files of a folder that this process has open."""
    links = [each for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    return [str(each.readlink()) for each in links if each.exists() and each.resolve().is_relative_to(folder.resolve())]


def test_it_loads_and_follows_what_others_write(store: SqliteStore) -> None:
    onlooker = Onlooker(store.folder, None)
    assert onlooker.model() == (MODEL, DIMENSION)
    assert onlooker.template_count(MODEL) == 1
    gallery = Gallery(DIMENSION, 16, GalleryOptions())
    with onlooker.contents(MODEL) as contents:
        gallery.load(contents)
    write(store, enrolment("b", "v", OnExisting.REJECT, 2))
    onlooker.let_go()
    onlooker.follow(gallery, MODEL)
    assert content(gallery) == content(loaded(store))
    onlooker.let_go()


def test_let_go_it_has_no_file_open(store: SqliteStore, tmp_path: Path) -> None:
    """Of a folder that nobody else in this process has: a copy."""
    copied = Path(shutil.copytree(store.folder, tmp_path / "copy"))
    onlooker = Onlooker(copied, None)
    assert onlooker.model() is not None
    assert any(DATABASE_FILE in each for each in open_files(copied))
    onlooker.let_go()
    assert open_files(copied) == []


def test_it_never_moves_the_write_ahead_log(store: SqliteStore, tmp_path: Path) -> None:
    """The last to close a database would, by itself; but a log that must be kept is moved by nobody."""
    copied = Path(shutil.copytree(store.folder, tmp_path / "copy"))
    before = {each: (copied / each).read_bytes() for each in (DATABASE_FILE, f"{DATABASE_FILE}-wal")}
    assert before[f"{DATABASE_FILE}-wal"]
    onlooker = Onlooker(copied, None)
    assert onlooker.template_count(MODEL) == 1
    onlooker.let_go()
    assert {each: (copied / each).read_bytes() for each in before} == before


def test_without_the_key_it_is_refused(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "data", operator_key()).close()
    with pytest.raises(StartupError, match="needs key"):
        Onlooker(tmp_path / "data", None)
