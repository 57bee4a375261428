"""Times and dates: whose day is meant is never guessed without a word."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from gerbang import GerbangError, WatchlistClient
from gerbang_service.cli.options import session_so_far
from gerbang_service.cli.output import Output, failure_line

F = TypeVar("F", bound=Callable[..., Any])

# Under which a command remembers its --time-zone.
_ZONE: Final = "gerbang.time_zone"


def moment_of(text: str, zone: tzinfo | None, *, to_its_end: bool = False) -> datetime:
    """Return the point in time that `text` says, always with a zone.

    `text`: ISO 8601 with an offset, or a date alone, which is the whole of that day in `zone` (None: this machine's):
    its beginning or, `to_its_end`, the next midnight. Raises ValueError, whose text says what to write instead.
    """
    try:
        if (day := day_of(text)) is not None:
            midnight = datetime.combine(day + timedelta(days=to_its_end), time(), zone)
            # Without a zone: as this machine reckoned, or will, on that day.
            return midnight if zone is not None else midnight.astimezone()
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not a date such as 2027-01-31, or a time: 2027-01-31T08:00:00+07:00") from None
    if moment.tzinfo is None:
        advice = f"add it: {text}+07:00, or {text}Z for UTC; a date alone is that whole day"
        raise ValueError(f"{text!r} does not say in which zone: {advice}")
    return moment


def day_of(text: str) -> date | None:
    """Return the day that a text is, or None for one that is no date alone."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def explained(day: date, moment: datetime, zone: tzinfo | None, *, to_its_end: bool = False) -> str:
    """Say which moment was taken for a day: what `moment_of` returned."""
    whose = str(zone) if zone is not None else f"{moment.tzname()}, this machine's zone"
    return f"{day}: the {'end' if to_its_end else 'beginning'} of that day in {whose}, {moment.isoformat()}"


class Moment(click.ParamType[datetime]):
    """A point in time as `moment_of` reads it, a date in --time-zone. Which moment it was taken for is said on stderr.

    `to_its_end`: a date means the end of that day. `told_if_past`: it is said when that was before now.
    """

    name = "TIME"

    def __init__(self, *, to_its_end: bool = False, told_if_past: bool = False) -> None:
        self._to_its_end = to_its_end
        self._told_if_past = told_if_past

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401
        """Return the moment, always with a zone."""
        if isinstance(value, datetime):
            return value
        text, zone = str(value), time_zone(ctx)
        try:
            moment = moment_of(text, zone, to_its_end=self._to_its_end)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        option = param.opts[0] if param is not None else self.name
        output = Output(as_json=True)
        if (day := day_of(text)) is not None:
            output.note(f"{option} {explained(day, moment, zone, to_its_end=self._to_its_end)}")
        if self._told_if_past and moment <= datetime.now(UTC):
            output.note(f"{option} {text} is in the past: Identify does not find them")
        return moment


def time_zone(ctx: click.Context | None) -> ZoneInfo | None:
    """Return the zone of a command's dates: its --time-zone, else the server's; None for this machine's.

    Raises click.ClickException when the server can't be asked: a day of another zone is not taken for it.
    """
    if ctx is None:
        return None
    if _ZONE not in ctx.meta:
        ctx.meta[_ZONE] = _servers_zone(ctx)
    found: ZoneInfo | None = ctx.meta[_ZONE]
    return found


def _servers_zone(ctx: click.Context) -> ZoneInfo | None:
    try:
        session = session_so_far(ctx)
        if session is None:
            return None
        with session.client(WatchlistClient) as office:
            name = office.server_info().time_zone
    except GerbangError as error:
        raise click.ClickException(f"which zone dates are of can't be asked: {failure_line(error)}") from error
    except OSError as error:
        raise click.ClickException(str(error)) from error
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.ClickException(f"the server's zone {name!r} is not known here: say --time-zone") from error


def _zone_option(default: str) -> Callable[[F], F]:
    """--time-zone, for all dates of a command. `default`: whose zone it is otherwise, as `time_zone` finds it."""
    return click.option(
        "--time-zone",
        "--zone",
        envvar=["GERBANG_TIME_ZONE", "GERBANG_ZONE"],
        show_envvar=True,
        metavar="NAME",
        is_eager=True,
        expose_value=False,
        callback=_remember,
        help=f"Zone of dates that are given without a time, such as Asia/Jakarta. Default: {default}.",
    )


def _remember(ctx: click.Context, param: click.Parameter, name: str | None) -> None:
    if name is None:
        return
    try:
        ctx.meta[_ZONE] = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.BadParameter(f"there is no zone {name!r} on this machine", ctx, param) from error


zone_option: Final = _zone_option("the server's, else this machine's")
machines_zone_option: Final = _zone_option("this machine's")  # of commands that ask no server


def valid_from_option(command: F) -> F:
    """--valid-from."""
    text = "From when on Identify sees the subject: a date, from its beginning on, or a time with its offset."
    return click.option("--valid-from", type=Moment(), help=text)(command)


def expires_option(command: F) -> F:
    """--expires."""
    text = "Until when Identify sees the subject: a date, which is its last day, or a time with its offset."
    kind = Moment(to_its_end=True, told_if_past=True)
    return click.option("--expires", "expire_time", type=kind, help=text)(command)
