"""A server that can't serve its data, or can't listen, refuses to start and says why."""

from __future__ import annotations

import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from crash.templates import TEMPLATES, samples_of, template
from gerbang import GateClient, WatchlistClient, enroll_request
from gerbang_service.domain.errors import StartupError
from gerbang_service.store.sqlite.store import SqliteStore
from pictures import photo
from running import FreshServer as RunningServer
from running import StartRefused

REFUSED = 3


def refusal(data: Path, *options: str) -> str:
    """Start a server that must refuse; return what it said."""
    before = len(stderr_of(data))
    with pytest.raises(StartRefused) as caught:
        RunningServer(data, *options)
    assert caught.value.returncode == REFUSED, caught.value
    said = stderr_of(data)[before:]
    assert "Traceback" not in said
    assert "gerbang serve: " in said
    return said


def stderr_of(data: Path) -> str:
    """Return what the servers of a data folder logged."""
    file = data.parent / f"{data.name}.stderr"
    return file.read_text() if file.exists() else ""


def test_second_server_on_the_same_data_is_refused(data: Path) -> None:
    """A second server on a folder that is in use refuses and names the first; the first one goes on."""
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        said = refusal(data, *TEMPLATES)
        assert "in use" in said
        assert str(running.pid) in said
        assert office.enroll("still", [template(1)]).subject.subject_id == "still"


@pytest.fixture
def stored(data: Path) -> Path:
    """A data folder with 200 people in it and nothing left in the write-ahead log; returns its database."""
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        requests = (enroll_request(f"person-{number}", samples_of(number)) for number in range(200))
        assert len(list(office.enroll_stream(requests))) == 200
    database = data / "gerbang.sqlite3"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    return database


def test_damaged_or_foreign_database_is_refused(stored: Path, data: Path) -> None:
    """A database that was overwritten, cut, is of another program or of a newer version is refused, and says so."""
    whole = stored.read_bytes()
    # Half of a page may be what nothing is written in.
    size = int.from_bytes(whole[16:18])
    pages = len(whole) // size
    assert pages > 10

    stored.write_bytes(b"X" * 100 + whole[100:])
    assert "not a database" in refusal(data, *TEMPLATES)

    middle = size * (pages // 2)
    stored.write_bytes(whole[:middle] + b"\xa5" * size + whole[middle + size :])
    assert "damaged" in refusal(data, *TEMPLATES)

    stored.write_bytes(whole[:middle])
    with pytest.raises(StartupError, match=r"damaged|malformed"):
        SqliteStore(data)

    stored.write_bytes(whole)
    with closing(sqlite3.connect(stored)) as connection:
        connection.execute("PRAGMA application_id = 7")
    with pytest.raises(StartupError, match="not one of Gerbang's"):
        SqliteStore(data)

    stored.write_bytes(whole)
    with closing(sqlite3.connect(stored)) as connection:
        connection.execute("PRAGMA user_version = 99")
    said = refusal(data, *TEMPLATES)
    assert "99" in said
    assert "too old" in said

    stored.write_bytes(whole)
    with closing(sqlite3.connect(stored)) as connection:
        connection.execute("UPDATE templates SET vector = x'00' WHERE template_id = 5")
        connection.commit()
    assert "template 5" in refusal(data, *TEMPLATES)

    # The test itself does no harm: as it was, the database is served.
    stored.write_bytes(whole)
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        assert office.server_info().subject_count == 200


def test_templates_of_another_recogniser_are_refused_or_ignored(data: Path) -> None:
    """A server with another recogniser refuses and names both; told to ignore the others, it never returns them."""
    model = "a" * 64
    with RunningServer(data, *TEMPLATES, "--model", model) as running, WatchlistClient(running.address) as office:
        office.create_watchlist("cegah")
        office.enroll("other-model", [template(1)], watchlists=["cegah"])

    assert model in refusal(data, *TEMPLATES, "--model", "b" * 64)
    said = refusal(data, "--pack", "stand-in")
    assert model in said

    with RunningServer(data, "--pack", "stand-in", "--other-models", "ignore") as running:
        with WatchlistClient(running.address) as office, GateClient(running.address, timeout=60) as gate:
            info = office.server_info()
            assert info.model in said
            assert (info.gallery_size, info.subject_count) == (0, 1)
            office.enroll("this-model", [photo(1)], watchlists=["cegah"])
            answer = gate.identify(photo(1, 2), threshold=-1, max_candidates=100)
            assert [each.subject_id for each in answer.candidates] == ["this-model"]
            assert [each.model for each in office.get_subject("other-model").templates] == [model]


def test_bound_address_is_printed_and_a_taken_port_is_refused(data: Path, tmp_path: Path) -> None:
    """Port 0 prints the port that was bound, and a port that is in use is a refusal that names it."""
    with RunningServer(data, *TEMPLATES) as running:
        host, _, port = running.address.rpartition(":")
        assert host == "127.0.0.1"
        assert int(port) > 0
        with socket.create_connection((host, int(port)), timeout=5):
            pass
        said = refusal(tmp_path / "other", *TEMPLATES, "--listen", running.address)
        assert running.address in said


def test_data_path_that_is_a_file_is_refused(data: Path) -> None:
    """A data folder that is a file is a refusal that names it."""
    data.write_text("not a folder")
    assert str(data) in refusal(data, *TEMPLATES)
