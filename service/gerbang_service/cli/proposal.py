"""`gerbang proposal ...`: changes that wait for a second person."""

from __future__ import annotations

from itertools import islice
from typing import Final

import click

from gerbang import Proposal, Watchlist, WatchlistClient
from gerbang.v1.watchlist_service_pb2 import Weakening
from gerbang_service.cli.documents import document
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.options import InOrder, Session, asks_server
from gerbang_service.cli.output import NONE, Cell, listed, time_text
from gerbang_service.cli.words import action_text, direction_word

_WAYS: Final = {
    Weakening.WEAKENING_REMOVED: "somebody is taken off",
    Weakening.WEAKENING_VALIDITY: "somebody is found for less long",
    Weakening.WEAKENING_LIST: "the list itself",
    Weakening.WEAKENING_TEMPLATES: "somebody loses a template",
}


@click.group(cls=InOrder, short_help="Show and confirm changes that need a second person.")
def proposal() -> None:
    """Show, confirm and withdraw changes that wait for a second person."""


@proposal.command("list", short_help="Show the proposals that wait.")
@click.option("--watchlist", default="", metavar="ID", help="Only those by which this list would stop fewer people.")
@click.option("--limit", type=click.IntRange(min=0), default=100, show_default=True, metavar="N", help="0: all.")
@asks_server
def list_some(session: Session, watchlist: str, limit: int) -> ExitCode:
    """Show the changes that wait for a second person, the oldest first."""
    with session.client(WatchlistClient) as office:
        found = list(islice(office.list_proposals(watchlist=watchlist), limit or None))
    output = session.output
    if output.as_json:
        output.document({"proposals": [document(each) for each in found]})
    elif not found:
        output.line("Nothing waits for a second person.")
    else:
        columns = (">number", "change", "of", "weakens", "proposed by", "until")
        output.table(columns, [_row(each) for each in found])
    return ExitCode.YES


@proposal.command(short_help="Show one proposal.")
@click.argument("proposal_id", metavar="NUMBER")
@asks_server
def show(session: Session, proposal_id: str) -> ExitCode:
    """Show the proposal NUMBER: what would be changed, who wants it, and which lists it would weaken."""
    with session.client(WatchlistClient) as office:
        found = office.get_proposal(proposal_id)
    if session.output.as_json:
        session.output.document({"proposal": document(found)})
    session.output.facts(_facts(found))
    return ExitCode.YES


@proposal.command(short_help="Make a change that somebody else proposed.")
@click.argument("proposal_id", metavar="NUMBER")
@asks_server
def confirm(session: Session, proposal_id: str) -> ExitCode:
    """Make the change that the proposal NUMBER is about, which somebody else has proposed."""
    with session.client(WatchlistClient) as office:
        done = office.confirm_proposal(proposal_id)
    if session.output.as_json:
        session.output.document(document(done))
    off = f", taken off {', '.join(done.removed_watchlists)}" if done.removed_watchlists else ""
    session.output.line(f"done: {_change(done.proposal)} {_of(done.proposal)}{off}")
    return ExitCode.YES


@proposal.command(short_help="Give a proposal up.")
@click.argument("proposal_id", metavar="NUMBER")
@asks_server
def withdraw(session: Session, proposal_id: str) -> ExitCode:
    """Give the proposal NUMBER up; nothing is changed."""
    with session.client(WatchlistClient) as office:
        gone = office.withdraw_proposal(proposal_id)
    if session.output.as_json:
        session.output.document(document(gone))
    session.output.line(f"withdrawn: {_change(gone.proposal)} {_of(gone.proposal)}")
    return ExitCode.YES


def _row(found: Proposal) -> tuple[Cell, ...]:
    until = time_text(found, "expire_time")
    return (
        found.proposal_id,
        _change(found),
        _of(found),
        listed(each.watchlist_id for each in found.weakened),
        found.proposed_by,
        f"{until}, out of date" if found.stale else until,
    )


def _facts(found: Proposal) -> dict[str, Cell]:
    stale = "changed since: it can't be confirmed any more, withdraw it" if found.stale else "not changed since"
    return {
        "proposal": found.proposal_id,
        "change": _change(found),
        "of": _of(found),
        **_wanted(found),
        **{
            f"weakens {each.watchlist_id}": "; ".join(_WAYS.get(way, "otherwise") for way in each.ways)
            for each in found.weakened
        },
        "proposed by": f"{found.proposed_by} ({found.role})",
        "proposed": time_text(found, "propose_time"),
        "why": found.note or NONE,
        "until": time_text(found, "expire_time"),
        "state": stale,
    }


def _change(found: Proposal) -> str:
    """Return the change in words: `delete subject`."""
    return (found.WhichOneof("change") or "").replace("_", " ")


def _of(found: Proposal) -> str:
    """Return whom a change is about."""
    kind = found.WhichOneof("change")
    if kind is None:
        return "-"
    wanted = getattr(found, kind)
    if kind == "delete_template":
        return f"{wanted.subject_id}, template {wanted.template_id}"
    if kind in ("update_subject", "replace_subject"):
        return str(wanted.subject.subject_id)
    if kind == "update_watchlist":
        return str(wanted.watchlist.watchlist_id)
    return str(wanted.watchlist_id if kind == "delete_watchlist" else wanted.subject_id)


def _wanted(found: Proposal) -> dict[str, Cell]:
    """Return the values that are wanted."""
    match found.WhichOneof("change"):
        case "update_subject":
            update = found.update_subject
            named = {path: _subject_value(update.subject, path) for path in update.update_mask.paths}
            moves = {"put on": listed(update.add_watchlists), "taken off": listed(update.remove_watchlists)}
            return {**named, **{name: each for name, each in moves.items() if each != NONE}}
        case "replace_subject":
            paths = ("watchlists", "valid_from", "expire_time")
            new = found.replace_subject
            values = {path: _subject_value(new.subject, path) for path in paths}
            faces = {"faces": "may be of SOMEBODY ELSE (allow different): look at the photographs"}
            templates = {"templates": f"{new.templates} in the place of all"}
            return {**values, **templates, **(faces if new.allow_different else {})}
        case "update_watchlist":
            wanted = found.update_watchlist
            return {path: _list_value(wanted.watchlist, path) for path in wanted.update_mask.paths}
        case _:
            return {}


def _list_value(found: Watchlist, path: str) -> Cell:
    if path == "direction":
        return direction_word(found.direction)
    return action_text(found.action) if path == "action" else _plain(getattr(found, path))


def _subject_value(subject: object, path: str) -> Cell:
    if path in ("valid_from", "expire_time"):
        return time_text(subject, path)
    return _plain(getattr(subject, path))


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str | int | float):
        return f"{value}" or str(NONE)
    return ", ".join(f"{each}" for each in value) or str(NONE)  # type: ignore[attr-defined]  # ids, or keys of labels
