"""What a change takes away: whom, from which list; said before it is made, and asked about."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from gerbang.v1.subject_pb2 import Subject
from gerbang_service.cli.options import Session
from gerbang_service.cli.output import listed

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Consent:
    """What a command was told of changes that take something away."""

    yes: bool
    dry_run: bool
    expected_revision: int


def consent_options(command: F) -> F:
    """--yes, --dry-run and --expected-revision; a command is given them as a Consent."""
    options = (
        click.option("--yes", is_flag=True, help="Don't ask before somebody leaves a list, or is seen for less long."),
        click.option("--dry-run", is_flag=True, help="Say who would leave which list, and change nothing."),
        click.option(
            "--expected-revision",
            type=click.IntRange(min=0),
            default=0,
            metavar="N",
            help="Change nothing if it was changed since this revision, as 'show' tells it. Default: whatever it is.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def consented(session: Session, losses: Sequence[str], consent: Consent) -> bool:
    """Say what a change takes away, and tell whether it is to be made: not after a dry run, nor when somebody says no.

    Raises click.UsageError where nobody is there to be asked, and it was not said with --yes.
    """
    if consent.dry_run:
        if session.output.as_json:
            session.output.document({"dry_run": True, "losses": list(losses)})
        for each in losses or ["nobody leaves a list, and nobody is seen for less long"]:
            session.output.line(each)
        session.output.line("dry run: nothing was changed")
        return False
    if losses:
        session.output.note("\n".join(losses))
    if not losses or consent.yes:
        return True
    if not (sys.stdin.isatty() and session.output.for_people_at_a_terminal):
        raise click.UsageError("nobody is there to be asked: say --yes, or --dry-run to see what it would take away")
    return click.confirm("Go on?", err=True)


def of_update(before: Subject, fields: Mapping[str, Any]) -> list[str]:
    """Say what an update of a subject takes away. `fields`: as `WatchlistClient.update_subject` has them."""
    removed = set(fields.get("remove_watchlists", ()))
    if "watchlists" in fields:
        removed |= set(before.watchlists).difference(fields["watchlists"])
    name, lost = before.subject_id, _left(before, removed)
    end, begin = fields.get("expire_time"), fields.get("valid_from")
    if end is not None and (not before.HasField("expire_time") or end < _moment(before, "expire_time")):
        now = _text(before, "expire_time", "never ends")
        lost.append(f"{name} is found until {end.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z only (now: {now})")
    if begin is not None and (not before.HasField("valid_from") or begin > _moment(before, "valid_from")):
        now = _text(before, "valid_from", "has always been valid")
        lost.append(f"{name} is found from {begin.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z on only (now: {now})")
    return lost


def of_deletion(before: Subject) -> list[str]:
    """Say what the deletion of a subject takes away."""
    return [*_left(before, before.watchlists), f"{before.subject_id} is erased, with {_count(before)}"]


def of_last_template(before: Subject, template_id: str) -> list[str]:
    """Say what the deletion of a template takes away: from every list, when it is the last."""
    if [each.template_id for each in before.templates] != [template_id]:
        return []
    lists = listed(before.watchlists) if before.watchlists else "no list"
    return [f"{before.subject_id} (on {lists}) is found no more: it is the last template"]


def _left(before: Subject, removed: Collection[str]) -> list[str]:
    return [f"{before.subject_id} leaves {each}" for each in before.watchlists if each in removed]


def _count(subject: Subject) -> str:
    return "1 template" if len(subject.templates) == 1 else f"{len(subject.templates)} templates"


def _moment(subject: Subject, field: str) -> datetime:
    moment: datetime = getattr(subject, field).ToDatetime(tzinfo=UTC)
    return moment


def _text(subject: Subject, field: str, absent: str) -> str:
    return f"{_moment(subject, field):%Y-%m-%d %H:%M:%S}Z" if subject.HasField(field) else absent  # type: ignore[arg-type]
