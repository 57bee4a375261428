"""`gerbang subject list`: who is enrolled, and which of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, TypedDict, TypeVar, Unpack

import click

from gerbang import WatchlistClient
from gerbang.v1.subject_pb2 import Subject
from gerbang_service.cli.documents import document
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.moments import Moment, zone_option
from gerbang_service.cli.options import Session, asks_server, labels_option
from gerbang_service.cli.output import Cell, labels_text, listed, time_text

F = TypeVar("F", bound=Callable[..., Any])

PAGE = 1000
"""Subjects asked for at once."""


class Which(TypedDict):
    """Which subjects: what `which_options` gives, as WatchlistClient.list_subjects takes it."""

    watchlist: str
    expires_before: datetime | None
    labels: dict[str, str]


def which_options(command: F) -> F:
    """--watchlist, --expires-before and --label: subjects for whom all that is said holds."""
    text = "Only those whose time is over by then: a date, at its beginning, or a time with its offset."
    for option in (
        labels_option("Only those with this label; may be repeated: with all of them."),
        zone_option,
        click.option("--expires-before", type=Moment(), help=text),
        click.option("--watchlist", default="", metavar="ID", help="Only those on this list."),
    ):
        command = option(command)
    return command


@click.command("list", short_help="Show subjects.")
@which_options
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    metavar="N",
    help="Show the first N by id; 0: all.",
)
@asks_server
def list_some(session: Session, /, limit: int, **which: Unpack[Which]) -> ExitCode:
    """Show subjects by id."""
    with session.client(WatchlistClient) as office:
        # One more than is shown tells whether there are more.
        page = min(limit + 1, PAGE) if limit else PAGE
        all_of_them: Iterator[Subject] = office.list_subjects(page_size=page, **which)
        found = list(islice(all_of_them, limit + 1 if limit else None))
    shown = found[:limit] if limit else found
    more = len(found) > len(shown)
    output = session.output
    if output.as_json:
        output.document({"subjects": [document(each) for each in shown], "more": more})
    elif not shown:
        output.line(_nobody(which))
    else:
        columns = ("subject", "watchlists", "valid from", "expires", "labels", ">templates")
        output.table(columns, [_row(each) for each in shown])
        if more:
            output.line(f"... and more; --limit 0 shows all (here the first {limit})")
    return ExitCode.YES


def _nobody(which: Which) -> str:
    if which["expires_before"] or which["labels"]:
        return "Nobody matches all of that."
    return f"Nobody is on {which['watchlist']}." if which["watchlist"] else "Nobody is enrolled."


def _row(found: Subject) -> tuple[Cell, ...]:
    return (
        found.subject_id,
        listed(found.watchlists),
        time_text(found, "valid_from"),
        time_text(found, "expire_time"),
        labels_text(found.labels),
        f"{len(found.templates)}",
    )
