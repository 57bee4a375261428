"""What a change takes away: whom, from which list; said before it is made, and asked about."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from gerbang.v1.subject_pb2 import Subject
from gerbang.v1.watchlist_pb2 import Watchlist
from gerbang_service.cli.options import Session
from gerbang_service.cli.output import counted, listed
from gerbang_service.cli.words import ACTIONS, direction_word

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Consent:
    """What a command was told of changes that take something away."""

    yes: bool
    dry_run: bool
    expected_revision: int
    note: str

    @classmethod
    def taken_from(cls, given: dict[str, Any]) -> Consent:
        """Take what `consent_options` added out of what click parsed."""
        return cls(**{name: given.pop(name) for name in ("yes", "dry_run", "expected_revision", "note")})


def consent_options(command: F) -> F:
    """--yes, --dry-run, --expected-revision and --note: see `Consent.taken_from`."""
    options = (
        click.option("--yes", is_flag=True, help="Don't ask before a list stops fewer people."),
        click.option("--dry-run", is_flag=True, help="Say who would leave which list, and change nothing."),
        click.option("--note", default="", metavar="TEXT", help="Why, for the second person where one has to agree."),
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
        for each in losses or ["no list stops fewer people"]:
            session.output.line(each)
        session.output.line("dry run: nothing was changed")
        return False
    if losses:
        session.output.note("\n".join(losses))
    if not losses or consent.yes:
        return True
    if not (sys.stdin.isatty() and session.output.for_people_at_a_terminal):
        raise click.UsageError(
            "nothing was changed, since nobody can be asked here: say --yes, or --dry-run to see what it takes away"
        )
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
        lost.append(f"{name} would be found until {end.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z only (now: {now})")
    if begin is not None and (not before.HasField("valid_from") or begin > _moment(before, "valid_from")):
        now = _text(before, "valid_from", "has always been valid")
        lost.append(f"{name} would be found from {begin.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z on only (now: {now})")
    return lost


def of_watchlist(before: Watchlist, fields: Mapping[str, Any]) -> list[str]:
    """Say by what an update of a list makes it stop fewer people. `fields`: as `WatchlistClient.update_watchlist`."""
    name, lost = before.watchlist_id, []
    if (text := _higher_threshold(before, fields)) is not None:
        lost.append(f"{name} might stop fewer people: {text}")
    action, was = fields.get("action"), before.action - 1
    if action is not None and ACTIONS.index(action) < was:
        lost.append(f"{name} would have a milder action: {action} (now: {ACTIONS[was]})")
    direction = fields.get("direction")
    if direction is not None and direction not in ("both", direction_word(before.direction)):
        lost.append(f"{name} would be searched at {direction} only (now: {direction_word(before.direction)})")
    if before.two_person_removal and fields.get("two_person_removal") is False:
        lost.append(f"{name} would need no second person any more")
    return lost


def _higher_threshold(before: Watchlist, fields: Mapping[str, Any]) -> str | None:
    """Say how the threshold may come to be higher, if it may."""
    own = {path: getattr(before, path) if before.HasField(path) else None for path in ("threshold", "target_fpir")}
    new = {path: fields.get(path, value) for path, value in own.items()}
    if new == own:
        return None
    if None not in (own["threshold"], new["threshold"]):
        return _differs("threshold", own, new) if new["threshold"] > own["threshold"] else None
    if None not in (own["target_fpir"], new["target_fpir"]):
        return _differs("target", own, new, "target_fpir") if new["target_fpir"] < own["target_fpir"] else None
    return f"another threshold: {_source(new)} (now: {_source(own)})"


def _differs(word: str, own: Mapping[str, Any], new: Mapping[str, Any], path: str = "threshold") -> str:
    return f"{word} {new[path]:g} (now: {own[path]:.6g})"


def _source(values: Mapping[str, Any]) -> str:
    if values["threshold"] is not None:
        return f"{values['threshold']:.6g}"
    return "the server's" if values["target_fpir"] is None else f"by target {values['target_fpir']:.6g}"


def of_deletion(before: Subject) -> list[str]:
    """Say what the deletion of a subject takes away."""
    return [
        *_left(before, before.watchlists),
        f"{before.subject_id} would be erased, with {counted(len(before.templates), 'template')}",
    ]


def of_last_template(before: Subject, template_id: str) -> list[str]:
    """Say what the deletion of a template takes away: from every list, when it is the last."""
    if [each.template_id for each in before.templates] != [template_id]:
        return []
    lists = listed(before.watchlists) if before.watchlists else "no list"
    return [f"{before.subject_id} (on {lists}) would be found no more: it is the last template"]


def _left(before: Subject, removed: Collection[str]) -> list[str]:
    return [f"{before.subject_id} would leave {each}" for each in before.watchlists if each in removed]


def _moment(subject: Subject, field: str) -> datetime:
    moment: datetime = getattr(subject, field).ToDatetime(tzinfo=UTC)
    return moment


def _text(subject: Subject, field: str, absent: str) -> str:
    return f"{_moment(subject, field):%Y-%m-%d %H:%M:%S}Z" if subject.HasField(field) else absent  # type: ignore[arg-type]
