"""A database of the schema before lists had keys and answers held ids: all is there but the content of answers."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest

from gerbang.v1 import matching_service_pb2 as pb
from gerbang_service.domain.errors import StartupError
from gerbang_service.domain.subjects import TemplateInfo
from gerbang_service.store.port import AnsweredRequest
from gerbang_service.store.sealing.cipher import NO_CIPHER, AnyCipher, place
from gerbang_service.store.sqlite.checking import check
from gerbang_service.store.sqlite.connection import connect, look
from gerbang_service.store.sqlite.earlier_rows import EARLIER_WATCHLIST, earlier_watchlist_place
from gerbang_service.store.sqlite.schema import APPLICATION_ID, MIGRATIONS
from gerbang_service.store.sqlite.store import SqliteStore
from gerbang_service.store.sqlite.vault import make_data_key, seal_meta, sealed_since
from running import operator_key
from store.people import DATABASE, secret, traces
from store.writes import CHAIN, MODEL, put, put_list, wrote

OLDER = 3
# Of length 1.
VECTOR = struct.pack("<2f", 1, 0)


def enrolled(seed: int, *rejections: str) -> bytes:
    """Return the answer to an enrolment as it was kept whole."""
    response = pb.EnrollResponse(revision=seed + 1)
    response.subject.subject_id = f"person-{seed}"
    response.subject.labels["case"] = secret(seed)
    response.sample_results.add(template_id=str(seed + 1)).face.detection_score = 0.5
    for each in rejections:
        response.sample_results.add(rejection=each, detail=f"no use: {secret(seed)}")
    response.duplicates.add(subject_id="somebody-deleted-since", similarity=0.9)
    return response.SerializeToString()


def older(data: Path, *, encrypted: bool) -> None:
    """Make a data folder as a server of that schema left it: four people, two of them on both lists."""
    data.mkdir()
    with closing(connect(data / DATABASE)) as connection:
        for statements in MIGRATIONS[:OLDER]:
            connection.executescript(statements)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {OLDER}")
        connection.execute("BEGIN")
        cipher: AnyCipher = make_data_key(connection, operator_key()) if encrypted else NO_CIPHER
        connection.cipher = cipher
        connection.execute("UPDATE meta SET value = 9 WHERE key = 'revision'")
        for name in ("w", "v"):
            row = (name, f"the list {name}", "both", 1, None, "", 1, 1)
            labels = cipher.seal_text(f'{{"warrant": "{name}"}}', earlier_watchlist_place(row))
            values = (*row[:5], labels, *row[6:])
            marks = ", ".join("?" * len(values))
            connection.execute(f"INSERT INTO watchlists ({EARLIER_WATCHLIST}) VALUES ({marks})", values)  # noqa: S608
        for seed in range(4):
            name = f"person-{seed}"
            labels = cipher.seal_text("{}", place("subjects.labels", name, None, None, 1, 1))
            connection.execute("INSERT INTO subjects VALUES (?, ?, NULL, NULL, ?, 1, 1)", (seed, name, labels))
            for each in ("v", "w") if seed < 2 else ():
                connection.execute("INSERT INTO memberships VALUES (?, ?)", (seed, each))
        # No server answered so: a file may hold anything.
        no_revision = pb.EnrollResponse(
            revision=-1, sample_results=[pb.SampleResult(template_id="5")]
        ).SerializeToString()
        sealed = cipher.seal(VECTOR, place("templates.vector", 1, "person-0", "m", 1, None))
        connection.execute("INSERT INTO meta VALUES ('model', 'm'), ('dimension', 2)")
        connection.execute("INSERT INTO templates VALUES (1, 0, 'm', NULL, 1, ?)", (sealed,))
        answers = {
            0: enrolled(0),
            1: enrolled(1, "NO_FACE", "FACE_BLURRED"),
            2: b"\x0anot an answer",
            3: None,
            4: no_revision,
        }
        for seed, content in answers.items():
            where = (f"r{seed}", f"person-{seed}")
            digest = b"" if content is None else cipher.seal(b"digest", place("requests.digest", *where))
            kept = None if content is None else cipher.seal(content, place("requests.answer", *where))
            connection.execute("INSERT INTO requests VALUES (?, ?, ?, ?)", (where[0], digest, where[1], kept))
        connection.execute("INSERT INTO tokens VALUES ('0123456789ab', x'07', 'kiosk', 'gate', NULL, 1, NULL, 5)")
        seal_meta(connection)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.parametrize("encrypted", [True, False])
def test_an_older_database_is_brought_to_the_newest_schema(data: Path, encrypted: bool) -> None:  # noqa: FBT001
    """Lists, who is on them, and of the answers the ids; of their content nothing is left in any file."""
    key = operator_key() if encrypted else None
    older(data, encrypted=encrypted)
    with closing(look(data / DATABASE)) as connection:
        report = check(connection, key)
        assert report.sound, report
    assert encrypted or traces(data, secret(1).encode())
    store = SqliteStore(data, key)
    with store.reading() as reader:
        assert {each.watchlist_id: dict(each.labels) for each in reader.watchlists()} == {
            "v": {"warrant": "v"},
            "w": {"warrant": "w"},
        }
        assert reader.subject_counts() == {"v": 2, "w": 2}
        assert [each.subject_id for each in reader.subjects(after="", limit=9, watchlists=["w"])] == [
            "person-0",
            "person-1",
        ]
        # When they were last changed is not known: as if it had been at the last revision.
        assert {each.revision for each in reader.watchlists()} == {9}
        assert {each.revision for each in reader.subjects(after="", limit=9)} == {9}
        (person,) = reader.subjects(after="", limit=1)
        assert person.templates == (TemplateInfo(1, "m", 1, None, None),)
        assert reader.vector(1) == VECTOR
        kept = [reader.answered(f"r{seed}") for seed in range(5)]
        assert [(each.token_id, each.revoke_time_ns) for each in reader.tokens()] == [("0123456789ab", 5)]
    store.close()
    assert (sealed_since(data) is not None) == encrypted
    assert kept[2] is kept[4] is None
    created = {each.create_time_ns for each in kept if each is not None}
    assert len(created) == 1
    now = created.pop()
    assert kept[0] == AnsweredRequest("r0", b"digest", "person-0", (1,), 1, now)
    assert kept[1] == AnsweredRequest("r1", b"digest", "person-1", (2, "NO_FACE", "FACE_BLURRED"), 2, now)
    assert kept[3] == AnsweredRequest("r3", b"", "person-3", (), 0, now, erased=True)
    assert not traces(data, secret(0).encode(), secret(1).encode(), b"somebody-deleted-since")
    with closing(look(data / DATABASE)) as connection:
        assert check(connection, key).sound


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM memberships WHERE subject_id = 'person-1'",
        "UPDATE watchlists SET action = 2 WHERE watchlist_id = 'w'",
        "UPDATE tokens SET revoke_time_ns = NULL",
        "DELETE FROM subjects WHERE subject_id = 'person-3'",
    ],
)
def test_an_older_database_is_sealed_at_its_first_start(data: Path, change: str) -> None:
    """As it is then; what is changed later without the key is found."""
    older(data, encrypted=True)
    SqliteStore(data, operator_key()).close()
    with closing(sqlite3.connect(data / DATABASE)) as connection, connection:
        connection.execute(change)
    with closing(look(data / DATABASE)) as connection:
        assert check(connection, operator_key()).damaged


def test_an_older_database_is_left_as_it_is_without_its_key(data: Path) -> None:
    """What can't be read is not brought to another schema: with the key it is opened as ever."""
    older(data, encrypted=True)
    with pytest.raises(StartupError, match="key"):
        SqliteStore(data)
    with closing(sqlite3.connect(data / DATABASE)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (OLDER,)
    SqliteStore(data, operator_key()).close()


@pytest.mark.parametrize("encrypted", [True, False])
def test_templates_of_before_chains_are_as_they_were(data: Path, encrypted: bool) -> None:  # noqa: FBT001
    """They came by a chain that nobody noted; those that come later have theirs, and both are whole."""
    key = operator_key() if encrypted else None
    store = SqliteStore(data, key)
    store.bind_model(MODEL, 8, ignore_others=False)
    wrote(store, put_list("v"), put("before", "v", seeds=[2, 4]))
    store.close()
    before = next(number for number, step in enumerate(MIGRATIONS) if "ADD COLUMN chain" in step)
    with closing(sqlite3.connect(data / DATABASE)) as connection:
        connection.execute("ALTER TABLE templates DROP COLUMN chain")
        connection.execute("DROP TABLE proposals")
        connection.execute(f"PRAGMA user_version = {before}")
    with closing(look(data / DATABASE)) as connection:
        assert check(connection, key).sound
    store = SqliteStore(data, key)
    store.bind_model(MODEL, 8, ignore_others=False)
    wrote(store, put("after", "v", seeds=[1]))
    with store.reading() as reader:
        found = {
            each.subject_id: [info.chain for info in each.templates] for each in reader.subjects(after="", limit=9)
        }
    assert found == {"before": [None, None], "after": [CHAIN]}
    store.close()
    with closing(look(data / DATABASE)) as connection:
        assert check(connection, key).sound
