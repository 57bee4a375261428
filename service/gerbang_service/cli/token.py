"""`gerbang token ...`: API tokens, for clients without certificates. They work on the data folder, served or not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from gerbang_service.access.identity import Role
from gerbang_service.access.tokens import id_of, is_token, new_token
from gerbang_service.cli.moments import Moment, zone_option
from gerbang_service.cli.options import InOrder, watchlists_option
from gerbang_service.cli.output import NONE, Cell, Output, listed
from gerbang_service.domain.errors import FieldInvalid, StartupError
from gerbang_service.domain.identifiers import check_id
from gerbang_service.store.port import StoredToken
from gerbang_service.store.sqlite import tokens as table
from gerbang_service.store.sqlite.connection import DATABASE_FILE, Connection, connect, turn_to_write
from gerbang_service.store.sqlite.inspecting import UNUSABLE, format_of, watchlist_ids
from gerbang_service.store.sqlite.schema import MIGRATIONS
from gerbang_service.store.sqlite.wal_check import refuse_damaged

_data = click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    envvar="GERBANG_DATA",
    show_envvar=True,
    help="The server's data folder.",
)
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
@zone_option
@_json
def create(
    data: Path,
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
    with _writing(data) as connection:
        notes = [*_notes(connection, made.stored)]
        table.add(connection, made.stored)
    output = Output(as_json=as_json)
    for each in notes:
        output.note(each)
    if as_json:
        output.document({"token": made.text, **_document(made.stored)})
        return
    click.echo(made.text)
    output.note(f"Token {made.stored.token_id}; it is shown this once. 'gerbang token revoke' ends it.")


def _notes(connection: Connection, made: StoredToken) -> Iterator[str]:
    """Yield what of a new token may not be meant."""
    for name in sorted(set(made.watchlists or ()) - watchlist_ids(connection)):
        yield f"There is no watchlist {name}; the token is bound to it nevertheless."
    for each in table.all_tokens(connection):
        if each.name == made.name and _state(each) == "in force":
            yield f"Token {each.token_id} has the name {each.name} too, and stays in force."


@token.command("list", short_help="Show all tokens.")
@_data
@_json
def list_all(data: Path, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    """Show all tokens that were ever made, but not the tokens themselves."""
    with _connection(_database(data)) as connection:
        tokens = table.all_tokens(connection)
    output = Output(as_json=as_json)
    if as_json:
        output.document({"tokens": [_document(each) for each in tokens]})
    output.table(("token", "name", "role", "watchlists", "created", "expires", "state"), map(_row, tokens))


@token.command(short_help="Revoke a token.")
@click.argument("token_id", metavar="ID")
@_data
def revoke(token_id: str, data: Path) -> None:
    """Revoke the token ID, as 'gerbang token list' shows it. Within a second it lets nobody in, for good."""
    if is_token(token_id):
        token_id = id_of(token_id)
    with _writing(data) as connection:
        done = table.revoke(connection, token_id, time.time_ns())
        known = {each.token_id: each for each in table.all_tokens(connection)}
    if not done and token_id in known:
        raise click.ClickException(f"token {token_id} was revoked already, at {_time(known[token_id].revoke_time_ns)}")
    if not done:
        raise click.ClickException(f"there is no token {token_id}: 'gerbang token list' shows those there are")
    click.echo(f"revoked {token_id}")


def _database(folder: Path) -> Path:
    database = folder / DATABASE_FILE
    if not database.is_file():
        raise click.ClickException(f"{folder} has no database yet: the first 'gerbang serve' makes it")
    try:
        refuse_damaged(database)
    except StartupError as error:
        raise click.ClickException(str(error)) from error
    return database


@contextmanager
def _connection(database: Path) -> Iterator[Connection]:
    folder = database.parent
    try:
        with closing(connect(database)) as connection:
            if format_of(connection)[1] != len(MIGRATIONS):
                raise click.ClickException(f"{folder} is of another version: start this version's server on it first")
            yield connection
    except UNUSABLE as error:
        raise click.ClickException(f"{database} can't be used: {error}") from error


@contextmanager
def _writing(folder: Path) -> Iterator[Connection]:
    try:
        database = _database(folder)
        # First: the database of a folder that is not this user's must not get files of theirs beside it.
        with turn_to_write(folder), _connection(database) as connection:
            yield connection
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error


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
