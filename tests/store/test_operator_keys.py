"""The operator's key: made once, read only from where nobody else can, shown by its id alone."""

from __future__ import annotations

import errno
import stat
from base64 import b64encode
from pathlib import Path

import pytest

from gerbang_service.domain.errors import StartupError
from gerbang_service.store.sealing.keys import create_key_file, find_key, read_key_file
from store.people import gerbang


def test_new_key_file_is_the_owners_only_and_never_overwritten(tmp_path: Path) -> None:
    """`gerbang key create` makes a file of mode 0600, prints no key, and refuses a name that is taken."""
    file = tmp_path / "gerbang.key"
    done = gerbang("key", "create", file)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text().strip()
    assert text not in done.stdout + done.stderr
    again = gerbang("key", "create", file)
    assert again.returncode == 3
    assert "never overwritten" in again.stderr
    assert file.read_text().strip() == text


def test_key_file_that_could_not_be_written_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves no empty file that would be "there already" when it is tried again."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    file = tmp_path / "gerbang.key"
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(StartupError, match="No space left"):
            create_key_file(file)
    assert not file.exists()
    assert create_key_file(file).id == read_key_file(file).id


def test_key_is_shown_by_its_id(tmp_path: Path) -> None:
    """`gerbang key show` prints the id that refusals name; neither it nor the key's own text form tell the key."""
    file = tmp_path / "gerbang.key"
    key = create_key_file(file)
    shown = gerbang("key", "show", file)
    assert shown.stdout.strip() == key.id
    assert file.read_text().strip() not in repr(key) + str(vars(key)) + shown.stdout


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_key_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    """A key file with any right for group or others is refused, with the command that mends it."""
    file = tmp_path / "gerbang.key"
    create_key_file(file)
    file.chmod(mode)
    with pytest.raises(StartupError, match="chmod 600"):
        read_key_file(file)
    file.chmod(0o400)
    read_key_file(file)


@pytest.mark.parametrize("text", ["", "secret", "A" * 44, b64encode(bytes(31)).decode(), b64encode(bytes(33)).decode()])
def test_what_is_no_key_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    """Anything but 32 bytes in base64 is refused without showing it."""
    file = tmp_path / "gerbang.key"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(StartupError, match="is not a key") as caught:
        read_key_file(file)
    assert not text or text not in str(caught.value)


def test_file_goes_before_the_environment(tmp_path: Path) -> None:
    """A key file is used rather than GERBANG_KEY; without either there is no key; a bad one is no reason to go on."""
    key = create_key_file(tmp_path / "gerbang.key")
    other = b64encode(bytes(32)).decode()
    found = find_key(tmp_path / "gerbang.key", {"GERBANG_KEY": other})
    assert found is not None
    assert found.id == key.id
    assert find_key(None, {}) is None
    with pytest.raises(StartupError, match="GERBANG_KEY"):
        find_key(None, {"GERBANG_KEY": "x"})
    with pytest.raises(StartupError, match="No such file"):
        find_key(tmp_path / "missing", {"GERBANG_KEY": other})
