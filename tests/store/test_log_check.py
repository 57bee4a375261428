"""A write-ahead log that SQLite would read less of than was finished is found out, and no other."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gerbang_service.store.sqlite.data_folder import DataFolder
from gerbang_service.store.sqlite.wal_check import LogDamage, log_damage
from running import operator_key
from store.people import DATABASE

PAGE_SIZES = (512, 4096, 8192, 65536)
HEADER, FRAME_HEADER = 32, 24
COMMITS = 5


@dataclass(frozen=True)
class Made:
    """A database and its log, as they are on the disk after `COMMITS` commits; `old`: bytes of an earlier life."""

    database: bytes
    log: bytes
    page_size: int
    old: int

    @property
    def commits(self) -> list[int]:
        """Where the frames begin that end a commit."""
        starts = range(HEADER, len(self.log) - self.old, FRAME_HEADER + self.page_size)
        return [each for each in starts if self.log[each + 4 : each + 8] != bytes(4)]


@cache
def made(page_size: int, restarted: bool) -> Made:  # noqa: FBT001
    """Make a log of several commits of several pages; `restarted`: at the beginning of a longer one that was moved."""
    with (
        TemporaryDirectory() as folder,
        closing(sqlite3.connect(Path(folder) / DATABASE, isolation_level=None)) as connection,
    ):
        for pragma in (f"page_size = {page_size}", "journal_mode = WAL", "wal_autocheckpoint = 0"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE commits (number INTEGER PRIMARY KEY, filler BLOB)")
        filler = np.random.default_rng(0).bytes(3 * page_size)
        if restarted:
            for number in range(100, 110):
                connection.execute("INSERT INTO commits VALUES (?, ?)", (number, filler))
            connection.execute("DELETE FROM commits")
        connection.execute(f"PRAGMA wal_checkpoint({'RESTART' if restarted else 'TRUNCATE'})")
        moved = (Path(folder) / DATABASE).read_bytes()
        for number in range(COMMITS):
            connection.execute("INSERT INTO commits VALUES (?, ?)", (number, filler))
        content = (Path(folder) / f"{DATABASE}-wal").read_bytes()
    salts, frame = content[16:24], FRAME_HEADER + page_size
    starts = range(HEADER, len(content), frame)
    old = sum(frame for each in starts if content[each + 8 : each + 16] != salts)
    assert bool(old) == restarted
    return Made(moved, content, page_size, old)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where logs are put."""
    return tmp_path_factory.mktemp("log")


def recovered(folder: Path, of: Made, log: bytes) -> tuple[LogDamage | None, int]:
    """Return what is found of a log, and how many of its commits SQLite then recovers."""
    put(folder, of, log)
    damage = log_damage(folder / DATABASE)
    with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM commits").fetchone()
    return damage, count


def put(folder: Path, of: Made, log: bytes) -> None:
    """Write a database and its log, as a kill leaves them."""
    database = folder / DATABASE
    database.write_bytes(of.database)
    database.with_name(f"{DATABASE}-shm").unlink(missing_ok=True)
    database.with_name(f"{DATABASE}-wal").write_bytes(log)


@settings(max_examples=300, deadline=None)
@given(
    page_size=st.sampled_from(PAGE_SIZES),
    restarted=st.booleans(),
    where=st.floats(0, 1, exclude_max=True),
    near=st.none() | st.integers(0, FRAME_HEADER - 1),
)
def test_flipped_bit_is_reported_exactly_when_something_is_lost(
    folder: Path,
    page_size: int,
    restarted: bool,  # noqa: FBT001
    where: float,
    near: int | None,
) -> None:
    """Any bit of the log: SQLite recovers all, or what it does not is reported, with the number of commits.

    Half of the flips are in the headers of frames.
    """
    of = made(page_size, restarted)
    frame = FRAME_HEADER + of.page_size
    bit = int(where * 8 * len(of.log))
    if near is not None and bit // 8 >= HEADER:
        bit = 8 * (HEADER + (bit // 8 - HEADER) // frame * frame + near) + bit % 8
    damaged = bytearray(of.log)
    damaged[bit // 8] ^= 1 << bit % 8
    last = of.commits[-1]
    if bytes(damaged[last + 4 : last + 8]) == bytes(4):
        return  # the last commit is none any more, and nothing is behind it
    damage, count = recovered(folder, of, bytes(damaged))
    if count == COMMITS:
        assert damage is None
    elif bit // 8 < HEADER:
        assert damage is not None
        assert damage.certain
        assert count == 0
    else:
        assert damage is not None
        assert not damage.certain
        # One more or less when it is a mark of a commit that flipped.
        assert abs(damage.unseen - (COMMITS - count)) <= (4 <= (bit // 8 - HEADER) % frame < 8)
        assert damage.frame == (bit // 8 - HEADER) // frame + 1


@settings(max_examples=200, deadline=None)
@given(page_size=st.sampled_from(PAGE_SIZES), restarted=st.booleans(), share=st.floats(0, 1))
@example(page_size=8192, restarted=False, share=1)
@example(page_size=8192, restarted=True, share=1)
def test_log_that_a_kill_cut_is_not_reported(folder: Path, page_size: int, restarted: bool, share: float) -> None:  # noqa: FBT001
    """Cut anywhere, or untouched, also with frames behind it of before it was begun anew: nothing is reported."""
    of = made(page_size, restarted)
    assert recovered(folder, of, of.log[: int(share * len(of.log))])[0] is None


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_last_transaction_that_is_torn_before_its_end_is_not_reported(folder: Path, page_size: int) -> None:
    """A power cut in the middle of a transaction, of which the last frame is not there: nothing finished is missing."""
    of = made(page_size, restarted=False)
    torn = bytearray(of.log[: of.commits[-1]])
    torn[-1] ^= 1
    assert recovered(folder, of, bytes(torn)) == (None, COMMITS - 1)


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_transaction_of_which_the_beginning_was_overwritten_is_reported(folder: Path, page_size: int) -> None:
    """An fsync fails, SQLite gives the transaction up, and the next one is shorter: nobody can tell it from damage."""
    of = made(page_size, restarted=False)
    put(folder, of, of.log[: of.commits[-2] + FRAME_HEADER + page_size])
    log = folder / f"{DATABASE}-wal"
    with closing(sqlite3.connect(folder / DATABASE, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA user_version = 1")
        shorter = log.read_bytes()
    damage, count = recovered(folder, of, shorter + of.log[len(shorter) :])
    assert count == COMMITS - 1
    assert damage is not None
    assert not damage.certain
    assert damage.unseen == 1
    assert "never acknowledged" in str(damage)


def test_what_a_server_is_writing_is_not_reported(data: Path) -> None:
    """Looked at all the time while the log grows, is moved and begun anew."""
    folder = DataFolder(data, operator_key())
    stop = threading.Event()
    with closing(folder.connect()) as connection:

        def write() -> None:
            for number in range(10**9):
                if stop.is_set():
                    return
                with folder.writing():
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute("INSERT INTO changes VALUES (?, 'x', NULL, 0)", (number,))
                    connection.execute("COMMIT")
                    if number % 50 == 49:
                        connection.execute(f"PRAGMA wal_checkpoint({'RESTART' if number % 100 == 49 else 'TRUNCATE'})")

        writing = threading.Thread(target=write)
        writing.start()
        try:
            found = [log_damage(data / DATABASE) for _ in range(1500)]
        finally:
            stop.set()
            writing.join()
    folder.close()
    assert set(found) == {None}


def test_log_of_no_whole_header_is_none(data: Path) -> None:
    """No log, an empty one, and one that ends in its header hold nothing."""
    data.mkdir()
    log = data / f"{DATABASE}-wal"
    assert log_damage(data / DATABASE) is None
    for size in (0, 1, HEADER):
        log.write_bytes(bytes(size))
        assert log_damage(data / DATABASE) is None
    log.write_bytes(bytes(HEADER + 1))
    assert log_damage(data / DATABASE) == LogDamage(log)
