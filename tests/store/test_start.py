"""What a start reads of the database: all of it, in large pieces, and nothing that is wrong goes unsaid."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from gerbang_service.domain.errors import DataDamaged, StartupError
from gerbang_service.domain.subjects import NewTemplate, Subject
from gerbang_service.store.port import Outcome, Transaction
from gerbang_service.store.sealing.cipher import place
from gerbang_service.store.sqlite.connection import DATABASE_FILE, connect
from gerbang_service.store.sqlite.data_folder import DataFolder
from gerbang_service.store.sqlite.read_ahead import reading_ahead
from gerbang_service.store.sqlite.rows import subject_place, vector_place, watchlist_place
from gerbang_service.store.sqlite.store import SqliteStore
from running import operator_key

PEOPLE = 3000
PAGE = 8192
REMAINS = b"what was left of a deleted person"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a database of more pages than are read at once."""
    folder = tmp_path_factory.mktemp("many") / "data"
    store = SqliteStore(folder, operator_key())
    store.bind_model("m", 512, ignore_others=False)
    vector = np.full(512, 512**-0.5, np.float32)

    def enrol(transaction: Transaction) -> Outcome[None]:
        for number in range(PEOPLE):
            transaction.put_subject(Subject(f"s{number}"))
            transaction.add_templates(f"s{number}", [NewTemplate(vector, None)], "m", 0)
        transaction.next_revision()
        return Outcome(None)

    assert isinstance(store.write([enrol])[0], Outcome)
    store.close()
    return (folder / DATABASE_FILE).read_bytes()


def folder_of(folder: Path, content: bytes) -> Path:
    folder.mkdir(mode=0o700)
    (folder / DATABASE_FILE).write_bytes(content)
    return folder


def leaves_with_gaps(content: bytes) -> list[tuple[int, int]]:
    """Return where the gaps of leaves of tables are that have room for REMAINS."""
    found = []
    for start in range(PAGE, len(content), PAGE):
        rows, cells = (int.from_bytes(content[start + at : start + at + 2], "big") for at in (3, 5))
        begin = start + 8 + 2 * rows
        if content[start] == 13 and start + cells - begin >= len(REMAINS):
            found.append((begin, start + cells))
    return found


def test_remains_are_erased_wherever_they_are(tmp_path: Path, many: bytes) -> None:
    """In the first pages that have room, the last ones, and around where one piece that is read ends."""
    gaps = leaves_with_gaps(many)
    assert len(many) > 2 * 512 * PAGE
    at_a_border = min(gaps, key=lambda gap: abs(gap[0] - 512 * PAGE))
    content = bytearray(many)
    for begin, end in (gaps[0], gaps[1], at_a_border, gaps[-1]):
        content[begin : begin + len(REMAINS)] = REMAINS
        content[end - len(REMAINS) : end] = REMAINS
    folder = folder_of(tmp_path / "data", bytes(content))
    DataFolder(folder, operator_key()).close()
    assert (folder / DATABASE_FILE).read_bytes().count(REMAINS) == 0
    with closing(connect(folder / DATABASE_FILE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_damaged_page_is_refused_and_left_as_it_is(tmp_path: Path, many: bytes) -> None:
    """What a damaged page says of its gap may be where a person is: nothing is overwritten before all are checked."""
    begin, _ = leaves_with_gaps(many)[-1]
    page = begin - begin % PAGE
    content = bytearray(many)
    content[page + 5 : page + 7] = (PAGE - 16).to_bytes(2, "big")
    folder = folder_of(tmp_path / "data", bytes(content))
    with pytest.raises(StartupError, match="damaged"):
        DataFolder(folder, operator_key())
    assert (folder / DATABASE_FILE).read_bytes()[page : page + PAGE] == content[page : page + PAGE]


def test_a_template_of_nobody_is_refused(tmp_path: Path, many: bytes) -> None:
    """It would be found by nobody's name."""
    folder = folder_of(tmp_path / "data", many)
    with closing(connect(folder / DATABASE_FILE)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("DELETE FROM subjects WHERE subject_id = 's7'")
    store = SqliteStore(folder, operator_key())
    with store.contents("m") as contents:
        subjects = contents.subjects
        names = [next(subjects).subject_id for _ in range(PEOPLE - 1)]
        assert "s7" not in names
        with pytest.raises(DataDamaged, match="table subjects: 2999 rows, and 3000 are due: rows were deleted"):
            next(subjects)
        with pytest.raises(DataDamaged, match="template 8: belongs to a subject that is not there"):
            list(contents.templates)
    store.close()


def test_what_values_are_bound_to_is_as_ever() -> None:
    """Another text of a row's place, and nothing that is stored could be opened any more."""
    row = (7, "3,4", "s:1", None, 5, "labels", 1, 2)
    assert subject_place(row) == b"subjects.row\0s:1\0" + b"(7, '3,4', 's:1', None, 5)(1, 2)"
    assert watchlist_place((1, "w", "t\xe9", "BOTH", 2, -0.0, "labels", 1, 2)) == (
        b"watchlists.row\0w\0" + rb"(1, 'w', 't\xe9', 'BOTH', 2, 0.0, 1, 2)"
    )
    whole = (1, "w", "t", "BOTH", 2, None, "labels", 1, 2, 3, 0.001, True)
    assert watchlist_place(whole) == b"watchlists.row\0w\0(1, 'w', 't', 'BOTH', 2, None, 1, 2, 3, 0.001, 1)"
    assert vector_place(3, "s:1", "m", None, 4, None) == place("templates.vector", 3, "s:1", "m", 4, None)
    assert vector_place(3, "s:1", "m", "[1.5]", 4, None) == b"templates.vector\0" + b"3\0s:1\0m\0" + b"4\0[1.5]"
    chained = b"templates.chained\0" + b"3\0s:1\0m\0" + b"4\0None'[\"d\"]'"
    assert vector_place(3, "s:1", "m", None, 4, '["d"]') == chained


def test_what_cannot_be_read_ahead_stops_nobody(tmp_path: Path) -> None:
    """Who needs it will say what is wrong; the thread is gone."""
    folder = os.open(tmp_path, os.O_RDONLY)
    before = threading.enumerate()
    try:
        with reading_ahead(folder):
            pass
    finally:
        os.close(folder)
    assert threading.enumerate() == before
