"""`gerbang token ...`: API tokens, for clients without certificates. They work on the data folder, served or not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from gerbang_service.access.identity import Role
from gerbang_service.access.tokens import id_of, is_token, is_token_id, new_token
from gerbang_service.cli.folder import audit_folder_option, command_log, key_file_option
from gerbang_service.cli.moments import Moment, machines_zone_option
from gerbang_service.cli.options import InOrder, watchlists_option
from gerbang_service.cli.output import NONE, Cell, Output, listed
from gerbang_service.domain.errors import DataDamaged, FieldInvalid, StartupError, StoreUnavailable
from gerbang_service.domain.identifiers import check_id
from gerbang_service.running.process import keep_private
from gerbang_service.store.port import StoredToken
from gerbang_service.store.sealing.keys import find_key
from gerbang_service.store.sqlite.commands import TokenTable, token_table

_data = click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    envvar="GERBANG_DATA",
    show_envvar=True,
    help="The server's data folder.",
)
_key_file = key_file_option("File with the key of the folder, if it is encrypted. Else GERBANG_KEY holds it.")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document for programs.")


@click.group(cls=InOrder, short_help="Make, list and revoke API tokens.")
def token() -> None:
    """Make, list and revoke API tokens, for clients without certificates.

    They are in the server's data folder; a server that runs on it heeds what is done here within a second. Run this as
    the server's user.
    """


@token.command(short_help="Make a token.")
@_data
@click.option("--role", type=click.Choice([each.value for each in Role]), required=True, help="What it allows.")
@click.option("--name", default="", help="Whose it is, for lists and the audit log. Default: its id.")
@watchlists_option("Bind it to this list; may be repeated. Default: to none.")
@click.option(
    "--expires",
    type=Moment(to_its_end=True),
    help="Until when it lets somebody in: a date, which is its last day, or a time with its offset. Default: for ever.",
)
@machines_zone_option
@_key_file
@audit_folder_option
@_json
def create(
    data: Path,
    key_file: Path | None,
    audit_folder: Path | None,
    role: str,
    name: str,
    watchlists: tuple[str, ...],
    expires: datetime | None,
    as_json: bool,  # noqa: FBT001 - click passes it by name
) -> None:
    """Make a token and print it, this once: only its hash is kept."""
    try:
        for each in (*([name] if name else ()), *watchlists):
            check_id("--name and --watchlist", each)
    except FieldInvalid as error:
        raise click.UsageError(str(error)) from error
    if expires is not None and expires <= datetime.now(UTC):
        raise click.UsageError(f"--expires: {expires.isoformat()} is past")
    expire_time_ns = None if expires is None else int(expires.timestamp() * 1e6) * 1000
    made = new_token(name, Role(role), frozenset(watchlists) or None, expire_time_ns)
    facts = {"token_id": made.stored.token_id, "name": made.stored.name, "role": role, "watchlists": watchlists}
    recorded = _recorded(data, key_file, audit_folder, "token create", **facts)
    with recorded, _tokens(data, key_file, writing=True) as table:
        notes = [*_notes(table, made.stored)]
        table.add(made.stored)
    output = Output(as_json=as_json)
    for each in notes:
        output.note(each)
    if as_json:
        output.document({"token": made.text, **_document(made.stored)})
        return
    click.echo(made.text)
    output.note(f"Token {made.stored.token_id}; it is shown this once. 'gerbang token revoke' ends it.")


def _notes(table: TokenTable, made: StoredToken) -> Iterator[str]:
    """Yield what of a new token may not be meant."""
    for name in sorted(set(made.watchlists or ()) - table.watchlist_ids()):
        yield f"There is no watchlist {name}; the token is bound to it nevertheless."
    for each in table.tokens():
        if each.name == made.name and _state(each) == "in force":
            yield f"Token {each.token_id} has the name {each.name} too, and stays in force."


@token.command("list", short_help="Show all tokens.")
@_data
@_key_file
@_json
def list_all(data: Path, key_file: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    """Show all tokens that were ever made, but not the tokens themselves.

    With the key of an encrypted folder it is known that nobody without it has made or changed one.
    """
    with _tokens(data, key_file) as table:
        tokens = table.tokens()
    output = Output(as_json=as_json)
    if as_json:
        output.document({"tokens": [_document(each) for each in tokens]})
    output.table(("token", "name", "role", "watchlists", "created", "expires", "state"), map(_row, tokens))


@token.command(short_help="Revoke a token.")
@click.argument("token_id", metavar="ID")
@_data
@_key_file
@audit_folder_option
def revoke(token_id: str, data: Path, key_file: Path | None, audit_folder: Path | None) -> None:
    """Revoke the token ID, as 'gerbang token list' shows it. Within a second it lets nobody in, for good."""
    if is_token(token_id):
        token_id = id_of(token_id)
    # What is no id may be anything, such as most of a token.
    shown = token_id if is_token_id(token_id) else "(no id)"
    with _recorded(data, key_file, audit_folder, "token revoke", token_id=shown) as recorded:
        with _tokens(data, key_file, writing=True) as table:
            done = table.revoke(token_id, time.time_ns())
            known = {each.token_id: each for each in table.tokens()}
        recorded["revoked"] = done
    if not done and token_id in known:
        raise click.ClickException(f"token {token_id} was revoked already, at {_time(known[token_id].revoke_time_ns)}")
    if not done:
        raise click.ClickException(f"there is no token {token_id}: 'gerbang token list' shows those there are")
    click.echo(f"revoked {token_id}")


@contextmanager
def _recorded(
    folder: Path,
    key_file: Path | None,
    audit_folder: Path | None,
    command: str,
    **facts: Any,  # noqa: ANN401 - what JSON takes
) -> Iterator[dict[str, Any]]:
    """Record a command, whatever becomes of it. Lends what is recorded at its end."""
    # First, whether there is such a folder, and of this version: it must not get an audit log otherwise.
    with _tokens(folder, key_file):
        pass
    with _told():
        log = command_log(folder, find_key(key_file), audit_folder)
    with _told(), log.recorded(command, **facts) as done:
        yield done


@contextmanager
def _tokens(folder: Path, key_file: Path | None, *, writing: bool = False) -> Iterator[TokenTable]:
    keep_private()
    with _told(), token_table(folder, find_key(key_file), writing=writing) as table:
        yield table


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error
    except (StartupError, StoreUnavailable, DataDamaged) as error:
        raise click.ClickException(str(error)) from error


def _document(stored: StoredToken) -> dict[str, Any]:
    return {
        "token_id": stored.token_id,
        "name": stored.name,
        "role": stored.role,
        "watchlists": stored.watchlists,
        "create_time": _time(stored.create_time_ns),
        "expire_time": _time(stored.expire_time_ns),
        "revoke_time": _time(stored.revoke_time_ns),
    }


def _row(stored: StoredToken) -> tuple[Cell, ...]:
    return (
        stored.token_id,
        stored.name,
        stored.role,
        "all" if stored.watchlists is None else listed(stored.watchlists),
        _time(stored.create_time_ns) or NONE,
        _time(stored.expire_time_ns) or NONE,
        _state(stored),
    )


def _state(stored: StoredToken) -> str:
    if stored.revoke_time_ns is not None:
        return "revoked"
    return "expired" if stored.expire_time_ns is not None and stored.expire_time_ns <= time.time_ns() else "in force"


def _time(nanoseconds: int | None) -> str | None:
    if nanoseconds is None:
        return None
    return f"{datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
