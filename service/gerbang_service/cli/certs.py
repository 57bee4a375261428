"""`gerbang certs ...`: certificates for tests and small sites."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

import click

from gerbang_service.access.certificate_authority import DEFAULT_DAYS, Authority, AuthorityError
from gerbang_service.access.identity import Role
from gerbang_service.access.policy import add_entry, entry_text, has_entry
from gerbang_service.cli.options import InOrder, watchlists_option
from gerbang_service.domain.errors import GerbangError
from gerbang_service.domain.identifiers import check_id

P = ParamSpec("P")

_FOLDER = click.Path(file_okay=False, path_type=Path)
_HERE = ("localhost", "127.0.0.1", "::1")


@click.group(cls=InOrder, short_help="Make certificates for tests and small sites.")
def certs() -> None:
    """Make a certificate authority, and certificates of it, for tests and small sites.

    Who has an authority of their own uses that: the server takes certificates from anywhere. The authority's key,
    ca.key, can make a certificate of any role: keep it on a machine that is not a gate, and not the server.
    """


def _clearly(command: Callable[P, None]) -> Callable[P, None]:
    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (AuthorityError, GerbangError) as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            raise click.ClickException(f"{error.filename}: {error.strerror}") from error

    return run


@certs.command(short_help="Make an authority, and the server's certificate.")
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Name or address that clients reach the server under; may be repeated. Besides: this machine's own.",
)
@_clearly
def ca(folder: Path, hosts: tuple[str, ...]) -> None:
    """Make an authority in DIR, and of it the certificate of a server: ca.pem, ca.key, server.pem, server.key."""
    authority = Authority.create(folder)
    authority.issue_server("server", tuple(dict.fromkeys((*hosts, *_HERE))))
    click.echo(f"made {folder / 'ca.pem'} and {folder / 'server.pem'}, with their keys. Next:")
    click.echo(f"  gerbang certs issue {folder} gate-7 --role gate")
    click.echo(f"  gerbang serve ... --tls-certificate {folder / 'server.pem'} --tls-key {folder / 'server.key'} \\")
    click.echo(f"    --client-ca {folder / 'ca.pem'} --policy {folder / 'policy.toml'}")


@certs.command(short_help="Issue a certificate to a client or server.")
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.argument("name")
@click.option("--role", type=click.Choice([each.value for each in Role]), help="For a client: what it may do.")
@watchlists_option("For a client: bind it to this list; may be repeated. Default: to none.")
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="For a server: its name or address; repeatable.")
@click.option(
    "--policy",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Policy file that a client's role is written to. Default: policy.toml in DIR.",
)
@click.option(
    "--days", type=click.IntRange(min=1), default=DEFAULT_DAYS, show_default=True, help="How long it is valid."
)
@_clearly
def issue(
    folder: Path,
    name: str,
    role: str | None,
    watchlists: tuple[str, ...],
    hosts: tuple[str, ...],
    policy: Path | None,
    days: int,
) -> None:
    """Issue NAME.pem and NAME.key in DIR, and write a client's role to the policy.

    NAME is a client's DNS name, which the policy knows it by. With a NAME that is there already the files are replaced
    and the policy stays as it is: so a certificate is renewed.
    """
    if (role is None) == (not hosts):
        raise click.UsageError("give either --role, for a client, or --host, for a server")
    authority = Authority(folder)
    if role is None:
        authority.issue_server(name, hosts, days)
        click.echo(f"issued {folder / f'{name}.pem'}")
        return
    for each in watchlists:
        check_id("--watchlist", each)
    file = policy or folder / "policy.toml"
    entry = entry_text(name, Role(role), watchlists)
    known = has_entry(file, name, Role(role), frozenset(watchlists) or None)
    authority.issue_client(name, days)
    if not known:
        add_entry(file, entry)
    click.echo(f"issued {folder / f'{name}.pem'}, in {file} as:\n\n{entry}", nl=False)
