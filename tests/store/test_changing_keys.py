"""A folder's key can be changed while it is served, and at any kill exactly one key opens it."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

from gerbang import WatchlistClient
from gerbang_service.store.sealing.keys import create_key_file
from gerbang_service.store.sqlite.checking import check
from gerbang_service.store.sqlite.connection import look
from gerbang_service.store.sqlite.vault import WrongKey
from running import RunningServer
from store.people import DATABASE, TEMPLATES, enrol, gerbang, secret, traces

# Changes the key to and fro, without end.
_TO_AND_FRO = """
import sys
from contextlib import closing
from pathlib import Path
from gerbang_service.store.sqlite.connection import connect, turn_to_write
from gerbang_service.store.sealing.keys import read_key_file
from gerbang_service.store.sqlite.vault import rewrap
data, one, other = map(Path, sys.argv[1:])
now, then = read_key_file(one), read_key_file(other)
print("begun", flush=True)
while True:
    with turn_to_write(data), closing(connect(data / "gerbang.sqlite3")) as connection:
        rewrap(connection, now, then)
    now, then = then, now
"""


def test_key_is_changed_while_the_server_runs(data: Path, tmp_path: Path) -> None:
    """The server goes on; from the next start on the new key is needed and the old one is refused; all is there."""
    old, new = tmp_path / "old.key", tmp_path / "new.key"
    wrapped_with, needed = create_key_file(old), create_key_file(new)
    with RunningServer(data, *TEMPLATES, "--key-file", str(old)) as running, WatchlistClient(running.address) as office:
        enrol(office, 1)
        with closing(look(data / DATABASE)) as connection:
            (wrapped,) = connection.execute("SELECT wrapped FROM data_keys").fetchone()
        assert traces(data, wrapped)
        done = gerbang("key", "rotate", "--data", data, "--key-file", old, "--new-key-file", new)
        assert done.returncode == 0, done.stderr
        assert f"needs key {needed.id} from now on, no longer {wrapped_with.id}" in done.stdout
        # A thief of the old key and of the disk gets nothing.
        assert not traces(data, wrapped)
        enrol(office, 2)
        assert office.get_subject("person-1").labels == {"case": secret(1)}
    refused = gerbang("key", "rotate", "--data", data, "--key-file", old, "--new-key-file", new)
    assert refused.returncode == 3
    assert needed.id in refused.stderr
    with RunningServer(data, *TEMPLATES, "--key-file", str(new)) as running, WatchlistClient(running.address) as office:
        assert office.get_subject("person-2").labels == {"case": secret(2)}


def test_killed_while_changing_the_key_exactly_one_key_opens(data: Path, tmp_path: Path) -> None:
    """Kill -9 at twelve random moments of changing it to and fro: one key opens everything, the other nothing."""
    one, other = tmp_path / "one.key", tmp_path / "other.key"
    keys = [create_key_file(one), create_key_file(other)]
    with RunningServer(data, *TEMPLATES, "--key-file", str(one)) as running, WatchlistClient(running.address) as office:
        enrol(office, 1, 2, 3)
    chance, opened = random.Random(5), one
    for _ in range(12):
        files = (opened, other if opened == one else one)
        command = [sys.executable, "-c", _TO_AND_FRO, str(data), *map(str, files)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            time.sleep(chance.uniform(0, 0.1))
            process.kill()
        reports = []
        for file, key in zip((one, other), keys, strict=True):
            with closing(look(data / DATABASE)) as connection, suppress(WrongKey):
                reports.append(check(connection, key))
                opened = file
        assert [report.sound for report in reports] == [True]


def test_folder_in_the_clear_has_no_key_to_change(data: Path, tmp_path: Path) -> None:
    """Rotating what is not encrypted is refused, with the command that encrypts."""
    create_key_file(tmp_path / "new.key")
    RunningServer(data, *TEMPLATES, "--no-encryption").stop()
    refused = gerbang("key", "rotate", "--data", data, "--new-key-file", tmp_path / "new.key")
    assert refused.returncode == 3
    assert "gerbang key encrypt" in refused.stderr
