"""`gerbang key`: the key that data folders are encrypted with."""

from __future__ import annotations

from pathlib import Path

import click

from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.folder import (
    audit_folder_option,
    command_log,
    data_option,
    key_file_option,
    progress,
    works_on_files,
)
from gerbang_service.cli.options import InOrder
from gerbang_service.cli.output import Output
from gerbang_service.domain.errors import StartupError
from gerbang_service.store.sealing.keys import OperatorKey, create_key_file, find_key, read_key_file
from gerbang_service.store.sqlite.commands import encrypt as encrypt_folder
from gerbang_service.store.sqlite.commands import existing, rotate_key

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(cls=InOrder, short_help="The key that data folders are encrypted with.")
def key() -> None:
    """Make, change and tell apart the keys that data folders are encrypted with.

    What a folder holds of people is encrypted with a data key of its own, which is kept in the folder, itself encrypted
    ("wrapped") with the operator's key. Without that key nothing can be read any more, by anybody: keep a copy of it,
    and not beside the data. In place of a file, the environment variable GERBANG_KEY may hold the key.
    """


@key.command()
@click.argument("file", type=_FILE)
@works_on_files
def create(output: Output, file: Path) -> ExitCode:
    """Make a new key in a new FILE that only you can read."""
    made = create_key_file(file)
    output.line(f"key {made.id} is in {file}: keep a copy elsewhere, without it what it encrypts is lost")
    if output.as_json:
        output.document({"key_id": made.id, "file": str(file)})
    return ExitCode.YES


@key.command()
@click.argument("file", type=_FILE)
@works_on_files
def show(output: Output, file: Path) -> ExitCode:
    """Show the id of the key in FILE, by which messages name it; never the key."""
    read = read_key_file(file)
    output.line(read.id)
    if output.as_json:
        output.document({"key_id": read.id, "file": str(file)})
    return ExitCode.YES


@key.command()
@data_option
@key_file_option("File with the key that the folder needs now. Else GERBANG_KEY holds it.")
@click.option("--new-key-file", type=_FILE, required=True, help="File with the key that it shall need from now on.")
@audit_folder_option
@works_on_files
def rotate(
    output: Output, data: Path, key_file: Path | None, new_key_file: Path, audit_folder: Path | None
) -> ExitCode:
    """Wrap a folder's data key with another key.

    At once, whole or not at all, and while a server runs: it goes on, and needs the new key from its next start on.
    With --workers a worker that dies is started with the key that the server was given: put the new key in the old
    one's place (mv NEW OLD) right after. Nothing is encrypted anew, so the old key still opens older backups.
    """
    old, new = _needed(key_file), read_key_file(new_key_file)
    existing(data)
    if old.id == new.id:
        raise StartupError(f"{new_key_file} holds the key that the folder has: 'gerbang key create' makes another")
    with command_log(data, old, audit_folder).recorded("key rotate", key=old.id, new_key=new.id):
        erased = rotate_key(data, old, new)
    output.line(f"{data} needs key {new.id} from now on, no longer {old.id}")
    output.line(f"backups made before still need key {old.id}")
    if not erased:
        output.line("queries kept the write-ahead log from being emptied: the old wrapping is erased with the next one")
    if output.as_json:
        output.document({"data": str(data), "key_id": new.id, "old_key_id": old.id, "erased": erased})
    return ExitCode.YES


@key.command()
@data_option
@key_file_option("File with the key to encrypt with. Else GERBANG_KEY holds it.")
@audit_folder_option
@works_on_files
def encrypt(output: Output, data: Path, key_file: Path | None, audit_folder: Path | None) -> ExitCode:
    """Encrypt a folder that was in the clear, and clear away what was.

    The server must be stopped. Takes up to three times the database's size on the disk meanwhile. Interrupted, it has
    either not begun, or is finished by the next start. There is no way back. Backups made before stay in the clear. The
    first start with the key records how far the audit log was written without it: let it have the same audit folder.
    """
    needed = _needed(key_file)
    existing(data)
    # Begun in the clear, or finished after an interruption; and done with the key that there is then.
    command_log(data, needed, audit_folder).note("key encrypt", "begun", key=needed.id)
    with progress(output, "encrypting") as told:
        encrypt_folder(data, needed, told)
    command_log(data, needed, audit_folder).note("key encrypt", "done", key=needed.id)
    output.line(f"{data} is encrypted and needs key {needed.id}; backups made before it was are in the clear")
    if output.as_json:
        output.document({"data": str(data), "key_id": needed.id})
    return ExitCode.YES


def _needed(key_file: Path | None) -> OperatorKey:
    found = find_key(key_file)
    if found is None:
        raise StartupError("a key is needed: give it with --key-file FILE, or in GERBANG_KEY")
    return found
