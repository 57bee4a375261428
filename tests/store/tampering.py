"""Somebody who can write the folder, and has no key, changes who is on which list, a threshold, a token, a proposal.

`python -m store.tampering --places 200` tries so many places, and prints what found each.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from gerbang_service.access.identity import Role
from gerbang_service.access.tokens import new_token
from gerbang_service.domain.errors import DataDamaged, StartupError
from gerbang_service.domain.faces import CaptureChain
from gerbang_service.domain.proposals import Kind, Proposal, ProposedChange
from gerbang_service.domain.subjects import NewTemplate, Subject
from gerbang_service.domain.watchlists import Action, Watchlist
from gerbang_service.domain.weakening import removed_from
from gerbang_service.store.port import Outcome, Transaction
from gerbang_service.store.sqlite.checking import check
from gerbang_service.store.sqlite.commands import token_table
from gerbang_service.store.sqlite.connection import DATABASE_FILE, look
from gerbang_service.store.sqlite.store import SqliteStore
from running import operator_key
from store.records import record_headers

LISTS = ("cegah", "red-notice", "tangkal")
MODEL, DIMENSION = "m", 16
# What names people, and what lets somebody in.
TABLES = ("memberships", "subjects", "watchlists", "tokens", "proposals")
_INNER_INDEX, _INNER_TABLE, _INNER = 2, 5, (2, 5)


def proposal(subject_id: str) -> Proposal:
    """Return one to delete somebody who is on the first list."""
    change = ProposedChange(Kind.DELETE_SUBJECT, subject_id)
    return Proposal(change, removed_from(LISTS[:1]), 1, "alice#1", "admin", 10**18, 3 * 10**18, "why", "r", b"d")


CHAIN = CaptureChain("d" * 64, 320, "arcface-112")


def database(folder: Path, people: int, chain: CaptureChain | None = CHAIN) -> Path:
    """Make a folder of people on lists, of whom some left one, and of tokens, of which one was revoked.

    `chain`: by which every second template came.
    """
    store = SqliteStore(folder, operator_key())
    store.bind_model(MODEL, DIMENSION, ignore_others=False)
    rng = np.random.default_rng(1)

    def fill(transaction: Transaction) -> Outcome[None]:
        for number, name in enumerate(LISTS):
            transaction.put_watchlist(
                Watchlist(name, f"list {name}", action=Action(number + 1), threshold=0.5, labels={"of": name})
            )
        for number in range(people):
            name, expires = f"person-{number}", None if number % 3 else 2 * 10**18 + number
            lists = [each for at, each in enumerate(LISTS) if number % 5 == at or number % 2]
            transaction.put_subject(Subject(name, tuple(lists), None, expires, {"case": str(number)}, (), 1, 1))
            vector = rng.standard_normal(DIMENSION)
            unit = (vector / np.linalg.norm(vector)).astype(np.float32)
            transaction.add_templates(name, [NewTemplate(unit, None, chain if number % 2 else None)], MODEL, 1)
        transaction.next_revision()
        return Outcome(None)

    def change(transaction: Transaction) -> Outcome[None]:
        for number in range(0, people, 7):
            transaction.put_subject(Subject(f"person-{number}", LISTS[:1], None, None, {}, (), 1, 2))
        transaction.delete_subject("person-5")
        transaction.put_watchlist(Watchlist(LISTS[2], threshold=0.45))
        for each in ("person-7", "person-8", "person-14"):
            transaction.put_proposal(proposal(each))
        transaction.delete_proposal(2)
        transaction.next_revision()
        return Outcome(None)

    for each in (fill, change):
        assert isinstance(store.write([each])[0], Outcome)
    store.close()
    with token_table(folder, operator_key(), writing=True) as table:
        for role in (Role.GATE, Role.GATE, Role.ADMIN):
            table.add(new_token(role.value, role, frozenset(LISTS[:1])).stored)
        table.revoke(table.tokens()[0].token_id, 5)
    SqliteStore(folder, operator_key()).close()
    return folder / DATABASE_FILE


def found_by_check(file: Path) -> list[str]:
    """Return what `gerbang check` says of a database file."""
    with closing(look(file, immutable=True)) as connection:
        return check(connection, operator_key()).damage


def found_by_start(content: bytes) -> str | None:
    """Return why a server would not start on a database, or None when it would."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "data"
        folder.mkdir(mode=0o700)
        (folder / DATABASE_FILE).write_bytes(content)
        try:
            store = SqliteStore(folder, operator_key())
        except (StartupError, DataDamaged) as error:
            return str(error)
        try:
            with store.contents(MODEL) as contents:
                for _ in contents.subjects:
                    pass
                for _ in contents.templates:
                    pass
        except DataDamaged as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - it does not start, whatever says so
            return f"{type(error).__name__}: {error}"
        finally:
            store.close()
    return None


def same(file: Path, other: Path) -> bool:
    """Tell whether two databases hold the same, in their tables and in their indexes."""
    return _content(file) == _content(other)


def _content(file: Path) -> list[object]:
    try:
        with closing(look(file, immutable=True)) as connection:
            names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            rows = [sorted(map(repr, connection.execute(f"SELECT * FROM {name} NOT INDEXED"))) for name in names]  # noqa: S608
            return [names, rows, connection.execute("PRAGMA integrity_check").fetchall()]
    except (sqlite3.Error, UnicodeDecodeError) as error:
        return [str(error)]


def byte_places(content: bytes, file: Path) -> list[int]:
    """Return where the bytes of records are, of TABLES and their indexes."""
    with closing(sqlite3.connect(file)) as connection:
        roots = [
            root
            for table, root in connection.execute("SELECT tbl_name, rootpage FROM sqlite_schema WHERE rootpage > 0")
            if table in TABLES
        ]
    size = int.from_bytes(content[16:18], "big")
    pages = {page for root in roots for page in _pages(content, size, root)}
    headers = [each for each in record_headers(content) if each.start // size + 1 in pages]
    return [at for each in headers for at in range(each.start, _end(content, each))]


def _pages(content: bytes, size: int, page: int) -> Iterator[int]:
    yield page
    start = (page - 1) * size
    if content[start] in _INNER:
        count = int.from_bytes(content[start + 3 : start + 5], "big")
        cells = (start + 12 + 2 * each for each in range(count))
        pointers = [start + int.from_bytes(content[at : at + 2], "big") for at in cells]
        for at in (*pointers, start + 8):
            yield from _pages(content, size, int.from_bytes(content[at : at + 4], "big"))


def _end(content: bytes, header: range) -> int:
    at, end = header.stop, header.start
    while end < header.stop:
        kind, end = _varint(content, end)
        at += (kind - 12) // 2 if kind >= 12 else (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)[kind]
    return at


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    while True:
        value = value << 7 | content[at] & 0x7F
        at += 1
        if content[at - 1] < 0x80:
            return value, at


def change_byte(content: bytes, places: Sequence[int], chance: random.Random) -> tuple[bytes, str]:
    """Return a database with one byte of a record changed, and where."""
    changed, at = bytearray(content), chance.choice(places)
    changed[at] ^= chance.randrange(1, 256)
    return bytes(changed), f"byte {at} became {changed[at]}"


# As whoever has sqlite3 would: valid rows, by name. ? is a number.
STATEMENTS: tuple[str, ...] = (
    "DELETE FROM memberships WHERE rowid_of = ?",
    "UPDATE OR REPLACE memberships SET list_key = list_key % 3 + 1 WHERE rowid_of = ?",
    "UPDATE memberships SET subject_id = 'person-901' WHERE rowid_of = ?",
    "UPDATE OR IGNORE memberships SET subject_key = subject_key + 1 WHERE rowid_of = ?",
    "DELETE FROM subjects WHERE subject_key = ? % (SELECT count(*) FROM subjects) + 1",
    "UPDATE subjects SET expire_time_ns = ? + 1 WHERE subject_key = ? % (SELECT count(*) FROM subjects) + 1",
    "UPDATE subjects SET lists = '' WHERE lists <> '' AND subject_key >= ? % 30",
    "UPDATE subjects SET revision = revision + 1 WHERE subject_key = ? % (SELECT count(*) FROM subjects) + 1",
    "UPDATE watchlists SET revision = revision + 1 WHERE list_key = ? % 3 + 1",
    "UPDATE watchlists SET threshold = threshold + (? + 1) / 1e6 WHERE list_key = ? % 3 + 1",
    "UPDATE watchlists SET action = action % 4 + 1 WHERE list_key = ? % 3 + 1",
    "UPDATE watchlists SET direction = 'arrival' WHERE list_key = ? % 3 + 1",
    "UPDATE watchlists SET title = title || '.' WHERE list_key = ? % 3 + 1",
    "UPDATE watchlists SET list_key = -list_key WHERE list_key = ? % 3 + 1",
    "DELETE FROM watchlists WHERE list_key = ? % 3 + 1",
    "UPDATE tokens SET revoke_time_ns = NULL WHERE revoke_time_ns IS NOT NULL",
    "UPDATE tokens SET role = 'admin' WHERE role = 'gate'",
    "UPDATE tokens SET watchlists = NULL",
    "UPDATE tokens SET expire_time_ns = ? + 10",
    "UPDATE tokens SET digest = randomblob(32)",
    "DELETE FROM tokens WHERE role = 'admin'",
    "INSERT INTO tokens SELECT token_id || 'x', randomblob(32), name, role, watchlists, 1, 2, 3, seal FROM tokens",
    "DELETE FROM templates WHERE template_id = ? % 30 + 9",
    "UPDATE templates SET model = 'another' WHERE template_id = ? % 30 + 9",
    "UPDATE templates SET subject_key = subject_key + 1 WHERE template_id = ? % 30 + 9",
    "UPDATE templates SET chain = NULL WHERE template_id = ? % 15 * 2 + 10",
    "UPDATE templates SET chain = replace(chain, '320', '640') WHERE template_id = ? % 15 * 2 + 10",
    'UPDATE templates SET chain = \'["a", 1, "b"]\' WHERE template_id = ? % 15 * 2 + 9',
    "UPDATE sqlite_sequence SET seq = seq - 1 WHERE name = 'watchlists'",
    "DELETE FROM meta WHERE key = 'tally'",
    "INSERT INTO subjects SELECT 999, 'person-999', 1, 2, labels, 1, 1, 1, lists FROM subjects WHERE subject_key = 9",
)


def change_by_statement(
    content: bytes, file: Path, chance: random.Random, statement: str | None = None
) -> tuple[bytes, str]:
    """Return a database that somebody has changed by SQL, and how."""
    file.write_bytes(content)
    statement = statement or chance.choice(STATEMENTS)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        rows = connection.execute("SELECT list_key, subject_id FROM memberships").fetchall()
        number = chance.randrange(len(rows))
        list_key, subject_id = rows[number]
        exact = statement.replace("rowid_of = ?", f"list_key = {list_key} AND subject_id = '{subject_id}'")
        exact = exact.replace("?", str(number))
        connection.execute(exact)
        if exact.startswith(("DELETE FROM memberships", "UPDATE OR REPLACE memberships")):
            connection.execute(
                "UPDATE list_sizes AS s SET subjects = (SELECT count(*) FROM memberships m "
                "WHERE m.list_key = s.list_key)"
            )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file.read_bytes(), exact


def main() -> int:
    """Change so many places, and say what told of each. Returns 1 when one was not found."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--places", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    chance, told = random.Random(arguments.seed), Counter[str]()
    print(f"seed {arguments.seed}")
    with tempfile.TemporaryDirectory() as parent:
        whole = database(Path(parent) / "data", 400)
        content, file = whole.read_bytes(), Path(parent) / "changed"
        places = byte_places(content, whole)
        ways: tuple[Callable[[], tuple[bytes, str]], ...] = (
            lambda: change_byte(content, places, chance),
            lambda: change_by_statement(content, file, chance),
        )
        for number in range(arguments.places):
            changed, how = ways[number % 2]()
            file.write_bytes(changed)
            if same(file, whole):
                told["changes nothing"] += 1
                continue
            damage, refused = found_by_check(file), found_by_start(changed)
            told[f"check {'yes' if damage else 'no'}, start {'refuses' if refused else 'goes on'}"] += 1
            if not damage and not refused:
                told["NOT FOUND"] += 1
            print(f"{how}: {refused or (damage or ['NOT FOUND'])[0]}")
    print(dict(told))
    return 1 if told["NOT FOUND"] else 0


if __name__ == "__main__":
    sys.exit(main())
