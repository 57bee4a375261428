"""A folder in the clear, of this or an earlier version, is encrypted whole or not at all, and nothing clear is left."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from gerbang import CounterClient, WatchlistClient
from gerbang_service.store.sqlite.schema import APPLICATION_ID, MIGRATIONS
from running import RunningServer, StartRefused
from store.people import DATABASE, DIMENSION, TEMPLATES, bytes_of, environment, gerbang, secret, traces, unit

PEOPLE = 300


def in_the_clear(data: Path, version: int, people: int = PEOPLE) -> None:
    """Make a data folder as a server of that schema left it."""
    data.mkdir()
    with closing(sqlite3.connect(data / DATABASE, isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("PRAGMA journal_mode = WAL")
        for statements in MIGRATIONS[:version]:
            connection.executescript(statements)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("BEGIN")
        meta = (("model", "unspecified"), ("dimension", DIMENSION))
        connection.executemany("INSERT INTO meta VALUES (?, ?)", meta)
        connection.execute("UPDATE meta SET value = ? WHERE key = 'revision'", (people,))
        for seed in range(people):
            labels = f'{{"case": "{secret(seed)}"}}'
            connection.execute(
                "INSERT INTO subjects VALUES (?, ?, NULL, NULL, ?, 1, 1)", (seed, f"person-{seed}", labels)
            )
            row = (seed, "unspecified", 1, unit(seed).astype("<f4").tobytes())
            connection.execute(
                "INSERT INTO templates (subject_key, model, create_time_ns, vector) VALUES (?, ?, ?, ?)", row
            )
            answer = secret(seed).encode()
            connection.execute("INSERT INTO requests VALUES (?, x'00', ?, ?)", (f"r{seed}", f"person-{seed}", answer))
        connection.execute("COMMIT")


def everybody(people: int = PEOPLE) -> list[bytes]:
    """Return what must not be found of some of them."""
    return [each for seed in range(0, people, people // 8) for each in bytes_of(seed)]


def test_nothing_sealed_is_taken_over_from_the_clear(data: Path) -> None:
    """What anybody could write before is not sealed as if the server had: how far the audit log may lack codes."""
    in_the_clear(data, 3, 2)
    with closing(sqlite3.connect(data / DATABASE, isolation_level=None)) as connection:
        connection.execute("INSERT INTO meta VALUES ('unkeyed_audit', '{}')")
    assert gerbang("key", "encrypt", "--data", data).returncode == 0
    with closing(sqlite3.connect(data / DATABASE)) as connection:
        assert "unkeyed_audit" not in {name for (name,) in connection.execute("SELECT key FROM meta")}


@pytest.mark.parametrize("version", [2, 3])
def test_folder_in_the_clear_is_encrypted(data: Path, version: int) -> None:
    """`gerbang key encrypt`, which the refusal names: everybody is found as before, and nobody in any file."""
    in_the_clear(data, version)
    assert traces(data, *everybody())
    with pytest.raises(StartRefused, match="gerbang key encrypt"):
        RunningServer(data, *TEMPLATES)
    assert gerbang("key", "encrypt", "--data", data, key=None).returncode == 3
    done = gerbang("key", "encrypt", "--data", data)
    assert done.returncode == 0, done.stderr
    assert not traces(data, *everybody())
    assert gerbang("check", "--data", data).returncode == 0
    with RunningServer(data, *TEMPLATES) as running, WatchlistClient(running.address) as office:
        assert office.server_info().subject_count == PEOPLE
        assert office.get_subject("person-7").labels == {"case": secret(7)}
        with CounterClient(running.address) as counter:
            assert counter.verify(unit(7), subject_id="person-7").match
        assert not traces(data, *everybody())
    assert gerbang("key", "encrypt", "--data", data).returncode == 0


def test_killed_while_encrypting_nothing_is_lost(data: Path) -> None:
    """Kill -9 at random moments: the folder is in the clear as before, or encrypted; the next run finishes it."""
    chance = random.Random(7)
    in_the_clear(data, 3, 2000)
    whole = (data / DATABASE).read_bytes()
    command = [sys.executable, "-m", "gerbang_service.cli", "key", "encrypt", "--data", str(data)]
    started = time.monotonic()
    assert gerbang(*command[3:]).returncode == 0
    takes = time.monotonic() - started
    for _ in range(3):
        for file in data.glob(f"{DATABASE}*"):
            file.unlink()
        (data / DATABASE).write_bytes(whole)
        process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.3 * takes, takes))
        process.kill()
        process.wait()
        found = gerbang("check", "--data", data, "--json")
        assert found.returncode == 0, found
        assert '"subjects": 2000' in found.stdout
        again = gerbang("key", "encrypt", "--data", data)
        assert again.returncode == 0, again.stderr
        assert not traces(data, *everybody(2000))
        assert gerbang("check", "--data", data).returncode == 0


def test_folder_in_use_is_not_encrypted(data: Path) -> None:
    """While a server has the folder, encrypting is refused and the server named."""
    with RunningServer(data, *TEMPLATES, "--no-encryption") as running:
        refused = gerbang("key", "encrypt", "--data", data)
        assert refused.returncode == 3
        assert str(running.pid) in refused.stderr
