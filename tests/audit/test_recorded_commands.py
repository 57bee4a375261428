"""What commands do with a data folder is in the audit log: who did what, and when, also while the server runs."""

from __future__ import annotations

import getpass
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gerbang_service.audit.commands import CommandLog
from gerbang_service.audit.files import COMMANDS, lock
from gerbang_service.cli.root import root
from gerbang_service.domain.errors import StartupError
from gerbang_service.store.sqlite.store import SqliteStore
from running import KEY, RunningServer
from store.people import TEMPLATES


def gerbang(*arguments: object, key: str | None = KEY) -> Result:
    """Run a command in this process."""
    environment = {"GERBANG_KEY": key, "GERBANG_AUDIT_FOLDER": None}
    return CliRunner().invoke(root, [str(each) for each in arguments], prog_name="gerbang", env=environment)


def shown(data: Path, event: str = "command") -> list[dict[str, Any]]:
    """Return the records of commands, by time."""
    done = gerbang("audit", "show", "--data", data, "--json")
    assert done.exit_code == 0, done.output
    records = [json.loads(line) for line in done.stdout.splitlines()]
    return [each for each in records if each.get("event") == event]


def verified(data: Path, key: str | None = KEY) -> Result:
    return gerbang("audit", "verify", "--data", data, key=key)


@pytest.fixture(scope="module")
def worked_on(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on which every command was run, most of them while its server ran. Beside it, what was restored."""
    parent = tmp_path_factory.mktemp("worked")
    data = parent / "data"
    assert gerbang("key", "create", parent / "new.key").exit_code == 0
    with RunningServer(data, *TEMPLATES):
        made = gerbang("token", "create", "--data", data, "--role", "gate", "--name", "kiosk-3", "--json")
        token = json.loads(made.stdout)["token_id"]
        for arguments in (
            ("token", "revoke", "--data", data, token),
            ("check", "--data", data),
            ("backup", "--data", data, parent / "copy"),
            ("key", "rotate", "--data", data, "--new-key-file", parent / "new.key"),
        ):
            done = gerbang(*arguments)
            assert done.exit_code == 0, (arguments, done.output)
        assert gerbang("token", "revoke", "--data", data, "gbt_mistyped", key=key_of(parent)).exit_code == 1
    # Made with the key that there was then.
    assert gerbang("restore", parent / "copy", "--data", parent / "restored").exit_code == 0
    return data


def key_of(parent: Path) -> str:
    return (parent / "new.key").read_text().strip()


def test_every_command_is_recorded_before_and_after(worked_on: Path) -> None:
    """Who, what, and what became of it; of a token its id, never the token."""
    key = key_of(worked_on.parent)
    assert verified(worked_on, key).exit_code == 0, verified(worked_on, key).output
    records = shown(worked_on)
    told = [(each["command"], each["state"]) for each in records]
    names = ("token create", "token revoke", "check", "backup", "key rotate", "token revoke")
    assert told == [(name, state) for name in names for state in ("begun", "done")]
    for each in records:
        assert each["user"] == getpass.getuser()
        assert each["uid"] == os.getuid()
        assert each["process"] == os.getpid()
    created, _, revoked, done = records[:4]
    assert created["token_id"] == revoked["token_id"] == done["token_id"]
    assert (created["name"], created["role"], done["revoked"]) == ("kiosk-3", "gate", True)
    assert records[7]["target"] == str(worked_on.parent / "copy")
    assert records[-1]["token_id"] == "(no id)"
    assert not records[-1]["revoked"]


def test_a_start_says_since_when_rows_are_sealed(worked_on: Path) -> None:
    """A time that moves is a folder that was made anew."""
    (start,) = shown(worked_on, "start")
    assert start["sealed_since"] < start["time"]


def test_a_restore_is_recorded_in_the_folder_that_it_makes(worked_on: Path) -> None:
    """That is all that its log has, until its server begins one."""
    restored = worked_on.parent / "restored"
    (record,) = shown(restored)
    assert (record["command"], record["state"]) == ("restore", "done")
    assert record["backup"] == str(worked_on.parent / "copy")
    assert verified(restored).exit_code == 0, verified(restored).output


def test_the_servers_log_tells_when_that_of_commands_was_cut(worked_on: Path, tmp_path: Path) -> None:
    """It says at its stop where the other ends: without a key, and with its head put back, too."""
    (worked_on / "audit" / COMMANDS).rename(tmp_path / "aside")
    done = verified(worked_on, None)
    (tmp_path / "aside").rename(worked_on / "audit" / COMMANDS)
    assert done.exit_code != 0
    assert "it is missing: there was a log of commands" in done.output


def test_encrypting_is_recorded_in_the_clear_and_with_the_key(tmp_path: Path) -> None:
    """What was recorded before there was a key has no code of it, and the rest has."""
    data = tmp_path / "data"
    SqliteStore(data).close()
    token = ("token", "create", "--data", data, "--role", "gate")
    assert gerbang(*token, key=None).exit_code == 0
    done = gerbang("key", "encrypt", "--data", data)
    assert done.exit_code == 0, done.output
    assert gerbang(*token, key=None).exit_code == 1
    assert gerbang(*token).exit_code == 0
    assert verified(data).exit_code == 0, verified(data).output
    told = [(each["command"], each["state"]) for each in shown(data)]
    create = [("token create", "begun"), ("token create", "done")]
    assert told == [*create, ("key encrypt", "begun"), ("key encrypt", "done"), *create]
    assert gerbang("check", "--data", data).exit_code == 0


def test_a_check_without_the_key_says_that_it_is_not_recorded(worked_on: Path) -> None:
    """It has nothing to vouch for a record with."""
    before = len(shown(worked_on))
    done = gerbang("check", "--data", worked_on, key=None)
    assert "not recorded in the audit log" in done.stderr
    assert len(shown(worked_on)) == before


def test_what_cannot_be_recorded_is_not_done(worked_on: Path, tmp_path: Path) -> None:
    """The folder of the log is a file: no token is made."""
    (tmp_path / "audit").write_text("no folder")
    token = ("token", "create", "--data", worked_on, "--role", "gate", "--audit-folder", tmp_path / "audit")
    done = gerbang(*token, key=key_of(worked_on.parent))
    assert done.exit_code != 0
    listed = json.loads(gerbang("token", "list", "--data", worked_on, "--json", key=None).stdout)
    assert len(listed["tokens"]) == 1


def test_a_command_waits_for_another_that_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a while: then it says that the log is in use."""
    monkeypatch.setattr("gerbang_service.audit.commands._WAIT_S", 0.1)
    held = lock(tmp_path / COMMANDS)
    with pytest.raises(StartupError, match="in use"):
        CommandLog(tmp_path, None, None).note("check", "done")
    os.close(held)
    CommandLog(tmp_path, None, None).note("check", "done")
