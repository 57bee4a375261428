"""`gerbang watchlist ...`: the lists themselves."""

from __future__ import annotations

from itertools import islice
from typing import Any

import click

from gerbang import WatchlistClient
from gerbang.v1.watchlist_pb2 import Watchlist
from gerbang_service.cli.changes import changes, clearing_option
from gerbang_service.cli.documents import document
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.losses import Consent, consent_options, consented, of_watchlist
from gerbang_service.cli.options import InOrder, Session, asks_server, labels_option, threshold_option
from gerbang_service.cli.output import NONE, Cell, Output, labels_text, time_text
from gerbang_service.cli.words import ACTIONS, DIRECTIONS, action_text, direction_word
from gerbang_service.domain.identifiers import MAX_TARGET_FPIR

# Of those who leave a deleted list, so many are named before it is.
_NAMED = 100

_title = click.option("--title", help="What officers call it.")
_direction = click.option("--direction", type=click.Choice(DIRECTIONS), help="Whom it concerns; at first: both.")
_action = click.option(
    "--action", type=click.Choice(ACTIONS), help="What a gate does on a hit; at first: refer_to_officer."
)
_threshold = threshold_option("Similarity from which on a candidate is a hit in this list; at first: the server's.")
_target = click.option(
    "--target-fpir",
    type=click.FloatRange(0, MAX_TARGET_FPIR, min_open=True),
    metavar="SHARE",
    help="Share of strangers that the list may stop, in place of a threshold: 0.001 is one of 1,000.",
)
_two = click.option(
    "--two-person-removal/--no-two-person-removal",
    default=None,
    help="What makes the list stop fewer people needs a second person to confirm it; at first: not.",
)


@click.group(cls=InOrder, short_help="Create, show and change watchlists.")
def watchlist() -> None:
    """Create, show and change watchlists."""


@watchlist.command(short_help="Create a watchlist.")
@click.argument("watchlist_id", metavar="ID")
@_title
@_direction
@_action
@_threshold
@_target
@_two
@labels_option("Free text kept with the list; may be repeated.")
@asks_server
def create(session: Session, /, watchlist_id: str, **given: Any) -> ExitCode:  # noqa: ANN401 - as click parsed them
    """Create the watchlist ID."""
    fields = {name: value for name, value in given.items() if value is not None}
    with session.client(WatchlistClient) as office:
        made = office.create_watchlist(watchlist_id, **fields)
    _show_change(session.output, "created", made.watchlist, document(made))
    return ExitCode.YES


@watchlist.command(short_help="Show one watchlist.")
@click.argument("watchlist_id", metavar="ID")
@asks_server
def show(session: Session, watchlist_id: str) -> ExitCode:
    """Show the watchlist ID."""
    with session.client(WatchlistClient) as office:
        found = office.get_watchlist(watchlist_id)
    if session.output.as_json:
        session.output.document({"watchlist": document(found)})
    _show(session.output, found)
    return ExitCode.YES


@watchlist.command("list", short_help="Show all watchlists.")
@asks_server
def list_all(session: Session) -> ExitCode:
    """Show all watchlists."""
    with session.client(WatchlistClient) as office:
        lists = office.list_watchlists()
    output = session.output
    if output.as_json:
        output.document({"watchlists": [document(each) for each in lists]})
    elif not lists:
        output.line("There are no watchlists; 'gerbang watchlist create' makes one.")
    else:
        columns = ("watchlist", "title", "direction", "action", ">threshold", ">subjects")
        output.table(columns, [_row(each) for each in lists])
    return ExitCode.YES


@watchlist.command(short_help="Change a watchlist.")
@click.argument("watchlist_id", metavar="ID")
@_title
@_direction
@_action
@_threshold
@clearing_option("--no-threshold", "Take the list's own threshold away.")
@_target
@clearing_option("--no-target-fpir", "Take the list's own target away.")
@_two
@labels_option("In the place of all labels there are; may be repeated.")
@clearing_option("--no-labels", "Take all labels away.")
@consent_options
@asks_server
def update(session: Session, /, watchlist_id: str, **given: Any) -> ExitCode:  # noqa: ANN401 - as click parsed them
    """Change the watchlist ID: only what is given is changed, its subjects stay.

    Says by what the list may stop fewer people, and asks before.
    """
    consent = Consent.taken_from(given)
    cleared = {"no_threshold": "threshold", "no_target_fpir": "target_fpir"}
    fields = changes(given, {flag: (name, None) for flag, name in cleared.items()} | {"no_labels": ("labels", {})})
    with session.client(WatchlistClient) as office:
        before = office.get_watchlist(watchlist_id)
        if not consented(session, of_watchlist(before, fields), consent):
            return ExitCode.YES if consent.dry_run else ExitCode.NO
        expected = consent.expected_revision or before.revision
        changed = office.update_watchlist(watchlist_id, expected_revision=expected, note=consent.note, **fields)
    _show_change(session.output, "changed", changed.watchlist, document(changed))
    return ExitCode.YES


@watchlist.command(short_help="Delete a watchlist.")
@click.argument("watchlist_id", metavar="ID")
@click.option("--force", is_flag=True, help="Delete it even though subjects are on it.")
@consent_options
@asks_server
def delete(session: Session, /, watchlist_id: str, force: bool, **given: Any) -> ExitCode:  # noqa: FBT001, ANN401 - as click parsed them
    """Delete the watchlist ID. Its subjects stay enrolled and leave the list; says who, and asks before."""
    consent = Consent.taken_from(given)
    with session.client(WatchlistClient) as office:
        before = office.get_watchlist(watchlist_id)
        members = office.list_subjects(watchlist=watchlist_id) if force else iter(())
        named = [f"{each.subject_id} would leave {watchlist_id}" for each in islice(members, _NAMED)]
        if more := before.subject_count - len(named) if force else 0:
            named.append(
                f"... and {more:,} more; 'gerbang subject list --watchlist {watchlist_id} --limit 0' shows all"
            )
        if not consented(session, named, consent):
            return ExitCode.YES if consent.dry_run else ExitCode.NO
        expected = consent.expected_revision or before.revision
        gone = office.delete_watchlist(watchlist_id, force=force, expected_revision=expected, note=consent.note)
    if session.output.as_json:
        session.output.document(document(gone))
    session.output.line(f"deleted {watchlist_id}")
    return ExitCode.YES


def _row(found: Watchlist) -> tuple[Cell, ...]:
    return (
        found.watchlist_id,
        found.title,
        direction_word(found.direction),
        action_text(found.action),
        _threshold_text(found) or NONE,
        f"{found.subject_count:,}",
    )


def _threshold_text(found: Watchlist) -> str:
    if found.HasField("target_fpir"):
        return f"for {1000 * found.target_fpir:g} of 1,000 strangers"
    return f"{found.threshold:.4f}" if found.HasField("threshold") else ""


def _show_change(output: Output, verb: str, changed: Watchlist, content: dict[str, Any]) -> None:
    if output.as_json:
        output.document(content)
    output.line(f"{verb} {changed.watchlist_id}")
    _show(output, changed)


def _show(output: Output, found: Watchlist) -> None:
    output.facts(
        {
            "watchlist": found.watchlist_id,
            "title": found.title or NONE,
            "direction": direction_word(found.direction),
            "action": action_text(found.action),
            "threshold": _threshold_text(found) or "the server's",
            "removal": "needs two people" if found.two_person_removal else "by one person",
            "labels": labels_text(found.labels) or NONE,
            "subjects": f"{found.subject_count:,}",
            **({"waiting for a second person": f"{found.open_proposals:,}"} if found.open_proposals else {}),
            "created": time_text(found, "create_time"),
            "changed": time_text(found, "update_time"),
            "revision": f"{found.revision}",
        }
    )
