"""`gerbang check` finds what is damaged, wherever it is, and says where."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gerbang import WatchlistClient
from gerbang_service.domain.errors import DataDamaged, StartupError
from gerbang_service.store.sqlite.checking import Report, check
from gerbang_service.store.sqlite.connection import look
from gerbang_service.store.sqlite.loading import contents
from gerbang_service.store.sqlite.meta import check_settings
from gerbang_service.store.sqlite.reading import SqliteReader
from gerbang_service.store.sqlite.vault import WrongKey, cipher_of
from running import RunningServer, operator_key
from store.people import DATABASE, TEMPLATES, enrol, gerbang, secret
from store.records import record_headers, types_of

PEOPLE = 40
SOON, LATER = datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with people on a list, checked in a folder of its own."""
    return copied(tmp_path_factory.mktemp("checked") / "data")


@pytest.fixture(scope="module")
def clear_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in the clear, with an API token."""
    return copied(tmp_path_factory.mktemp("clear") / "data", "--no-encryption")


def copied(data: Path, *options: str) -> Path:
    with RunningServer(data, *TEMPLATES, *options) as running, WatchlistClient(running.address) as office:
        office.create_watchlist("cegah", title="Exit ban", labels={"warrant": secret(99)}, threshold=0.6)
        enrol(office, *range(PEOPLE))
        office.update_subject("person-3", watchlists=["cegah"], valid_from=SOON, expire_time=LATER)
        if options:  # nothing would tell of a change of its name
            token = ("--name", "gate-3", "--role", "gate", "--watchlist", "cegah")
            assert gerbang("token", "create", "--data", data, *token).returncode == 0
        assert gerbang("backup", "--data", data, data.parent / "copy").returncode == 0
    return data.parent / "copy"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test puts a database."""
    return tmp_path / "database"


def checked(file: Path, content: bytes) -> Report:
    """Write a database and check it."""
    file.write_bytes(content)
    with closing(look(file, immutable=True)) as connection:
        return check(connection, operator_key())


def read_all(file: Path) -> None:
    """Read a database as a server does, at its start and when it is asked. Raises what both do."""
    with closing(look(file, immutable=True)) as connection:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise StartupError(found)
        connection.cipher = cipher_of(connection, operator_key())
        check_settings(connection)
        reader, everything = SqliteReader(connection), contents(connection, "unnamed")
        for each in everything.subjects:
            reader.subject(each.subject_id)
        for (request_id,) in connection.execute("SELECT request_id FROM requests"):
            reader.answered(request_id)
        for (model,) in connection.execute("SELECT DISTINCT model FROM templates").fetchall():
            everything = contents(connection, model)
            assert all(isinstance(each.subject_id, str) for each in everything.subjects)
            for batch in everything.templates:
                assert all(isinstance(vector, bytes) for _, _, vector in batch)


def rows(file: Path) -> dict[str, list[str]]:
    """Return all that is stored."""
    with closing(look(file, immutable=True)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}"))) for name in names}  # noqa: S608


def test_whole_database_is_found_whole(copy: Path, file: Path) -> None:
    """Nothing is found where nothing is wrong, and all is counted."""
    report = checked(file, copy.read_bytes())
    assert report.sound, report
    read_all(file)
    assert report.revision == PEOPLE + 2
    assert report.counts["templates"] == report.counts["subjects"] == PEOPLE
    assert report.counts["memberships"] == report.counts["watchlists"] == 1


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bit_anywhere_is_found_or_changes_nothing(copy: Path, file: Path, data: st.DataObject) -> None:
    """Of any page of the file: what is damaged is found, or all that is stored reads as before."""
    whole = copy.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    report = checked(file, bytes(damaged))
    if not report.damaged:
        after = rows(file)
        file.write_bytes(whole)
        assert after == rows(file)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), encrypted=st.booleans())
def test_flipped_bit_in_the_header_of_a_record_is_an_error_and_no_defect(
    copy: Path,
    clear_copy: Path,
    file: Path,
    data: st.DataObject,
    encrypted: bool,  # noqa: FBT001
) -> None:
    """Values become another type's or length's, in pages that are well made: a report, and a refusal to start.

    Encrypted, what is not found changes nothing.
    """
    whole = (copy if encrypted else clear_copy).read_bytes()
    header = data.draw(st.sampled_from(record_headers(whole)))
    bit = data.draw(st.integers(8 * header.start, 8 * header.stop - 1))
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    with suppress(WrongKey):
        report = checked(file, bytes(damaged))
        with suppress(sqlite3.Error, DataDamaged, StartupError):
            read_all(file)
        if encrypted and not report.damaged:
            after = rows(file)
            file.write_bytes(whole)
            assert after == rows(file)


@pytest.mark.parametrize("encrypted", [True, False], ids=["encrypted", "in the clear"])
@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("vector FROM templates WHERE template_id = 9", "template 9 of subject person-8: its vector"),
        ("labels FROM subjects WHERE subject_id = 'person-8'", "subject person-8: its labels"),
        ("labels FROM watchlists", "watchlist cegah: its labels"),
        ("digest FROM requests WHERE subject_id = 'person-8'", "about subject person-8: its digest"),
        ("samples FROM requests WHERE subject_id = 'person-8'", "about subject person-8: "),
        ("wrapped FROM data_keys", "the data key"),
        ("watchlists FROM tokens", "tokens"),
    ],
)
def test_bytes_that_became_text_and_text_that_became_bytes_are_found(
    copy: Path,
    clear_copy: Path,
    file: Path,
    value: str,
    named: str,
    encrypted: bool,  # noqa: FBT001
) -> None:
    """The lowest bit of a value's type flips, and its length stays: whose it is, is said."""
    whole = (copy if encrypted else clear_copy).read_bytes()
    file.write_bytes(whole)
    with closing(look(file, immutable=True)) as connection:
        row = connection.execute(f"SELECT {value}").fetchone()
    if row is None:
        assert value.endswith("tokens" if encrypted else "data_keys")
        return
    damaged = bytearray(whole)
    for at in types_of(whole, row[0].encode() if isinstance(row[0], str) else row[0]):
        damaged[at] ^= 1
    report = checked(file, bytes(damaged))
    assert any(named in each for each in report.damage), report.damage
    with pytest.raises((sqlite3.Error, DataDamaged, StartupError)):
        read_all(file)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    number=st.integers(0, PEOPLE - 1),
    what=st.sampled_from(["vector", "labels", "digest"]),
    where=st.integers(0, 10**6),
)
def test_flipped_bit_in_a_value_is_found_at_its_place(
    copy: Path, file: Path, number: int, what: str, where: int
) -> None:
    """A bit of anybody's vector, labels or request: found, and whose it is."""
    whole = copy.read_bytes()
    file.write_bytes(whole)
    tables = "subjects JOIN templates USING (subject_key) JOIN requests USING (subject_id)"
    query = f"SELECT {what} FROM {tables} WHERE subject_id = ?"  # noqa: S608 - one of three columns
    with closing(look(file, immutable=True)) as connection:
        (value,) = connection.execute(query, (f"person-{number}",)).fetchone()
    stored = value.encode() if isinstance(value, str) else value
    # Of base64 not the last characters: some of their bits mean nothing.
    bit = where % (8 * (len(stored) - (4 if what == "labels" else 0)))
    damaged = bytearray(whole)
    assert damaged.count(stored) == 1
    damaged[damaged.find(stored) + bit // 8] ^= 1 << bit % 8
    report = checked(file, bytes(damaged))
    assert report.damaged >= 1
    assert any(f"subject person-{number}:" in each for each in report.damage), report.damage


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE templates SET vector = (SELECT vector FROM templates WHERE template_id = 1)", "template 2 of subject"),
        ("UPDATE templates SET subject_key = 3 - subject_key WHERE subject_key IN (1, 2)", "subject person-0"),
        ("UPDATE subjects SET subject_id = 'person-x' WHERE subject_id = 'person-7'", "subject person-x"),
        ("UPDATE subjects SET expire_time_ns = 1 WHERE subject_id = 'person-7'", "subject person-7"),
        ("UPDATE subjects SET labels = (SELECT labels FROM subjects WHERE subject_key = 1)", "subject person-1:"),
        ("UPDATE templates SET model = 'other' WHERE template_id = 9", "template 9 of subject person-8"),
        ("UPDATE watchlists SET threshold = 0.9", "watchlist cegah"),
        ("UPDATE watchlists SET title = 'None'", "watchlist cegah"),
        ("UPDATE meta SET value = value + 1 WHERE key = 'revision'", "revision"),
        ("UPDATE sqlite_sequence SET seq = 3", "ids of templates"),
        ("UPDATE data_keys SET create_time_ns = 0", "data key"),
        ("INSERT INTO memberships VALUES (1, 'person-1000', 1000)", "memberships"),
        ("UPDATE memberships SET subject_id = 'person-x'", "table memberships: person-x on list 1 is another subject"),
        ("UPDATE memberships SET list_key = 9", "table memberships: names list 9, which is not there"),
        ("UPDATE list_sizes SET subjects = 7", "watchlist cegah is said to have 7 subjects, and has 1"),
        ("INSERT INTO gone_lists VALUES (1)", "table gone_lists: list 1 is there"),
        ("CREATE TRIGGER more AFTER INSERT ON subjects BEGIN DELETE FROM subjects; END", "the tables are not those"),
    ],
)
def test_what_was_changed_by_hand_is_found(copy: Path, file: Path, statement: str, named: str) -> None:
    """Values swapped between people, rows and settings changed, tables added: each is found and named."""
    file.write_bytes(copy.read_bytes())
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(statement)
        connection.commit()
    report = checked(file, file.read_bytes())
    assert any(named in each for each in report.damage), report.damage
    assert not any(secret(each) in text for each in range(PEOPLE) for text in report.damage)


def test_vectors_in_the_clear_are_checked_as_far_as_they_can_be(data: Path) -> None:
    """Without encryption a vector that is not of length 1, or cut, is found."""
    with RunningServer(data, *TEMPLATES, "--no-encryption") as running, WatchlistClient(running.address) as office:
        enrol(office, 0, 1, 2)
    with closing(sqlite3.connect(data / DATABASE)) as connection:
        connection.execute("UPDATE templates SET vector = zeroblob(256) WHERE template_id = 1")
        connection.execute("UPDATE templates SET vector = x'0000803f' WHERE template_id = 2")
        connection.execute("UPDATE subjects SET labels = '{' WHERE subject_id = 'person-2'")
        connection.commit()
    found = gerbang("check", "--data", data)
    assert found.returncode == 1
    for named in ("template 1 of subject person-0", "template 2 of subject person-1", "subject person-2"):
        assert named in found.stdout


def test_error_in_the_middle_of_a_check_is_not_hidden(copy: Path) -> None:
    """When the transaction is over already, what ended it is raised, and not that there is none."""
    with closing(look(copy, immutable=True)) as connection:

        def fail(_done: int, _all: int) -> None:
            connection.execute("ROLLBACK")
            raise OSError("the disk is gone")

        with pytest.raises(OSError, match="the disk is gone"):
            check(connection, operator_key(), fail)


def test_check_runs_beside_the_server_and_its_exit_code_tells(data: Path) -> None:
    """0: whole, while the server writes; 3: not all could be checked, without the key; 3: there is nothing to check."""
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        enrol(office, 0)
        found = gerbang("check", "--data", data, "--json")
        assert found.returncode == 0, found
        assert json.loads(found.stdout)["counts"]["subjects"] == 1
        enrol(office, 1)
        blind = gerbang("check", "--data", data, key=None)
        assert blind.returncode == 3
        assert "not checked" in blind.stdout
    assert gerbang("check", "--data", data.parent / "none").returncode == 3
