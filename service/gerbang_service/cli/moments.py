"""Times and dates as options: whose day is meant is never guessed without a word."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from gerbang_service.cli.output import Output

F = TypeVar("F", bound=Callable[..., Any])

# Under which a command remembers its --zone.
_ZONE: Final = "gerbang.zone"


class Moment(click.ParamType[datetime]):
    """A point in time in ISO 8601, with an offset; or a date alone, which is the whole of that day in --zone.

    `to_its_end`: a date means the end of that day, the next midnight; else its beginning. Which moment was taken for a
    date is said on stderr.
    """

    name = "TIME"

    def __init__(self, *, to_its_end: bool = False) -> None:
        self._to_its_end = to_its_end

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401
        """Return the moment, always with a zone."""
        if isinstance(value, datetime):
            return value
        text = str(value)
        zone: ZoneInfo | None = ctx.meta.get(_ZONE) if ctx is not None else None
        try:
            if (day := _date(text)) is not None:
                return self._of_day(day, zone, param)
            moment = datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is not a date such as 2027-01-31, or a time: 2027-01-31T08:00:00+07:00", param, ctx)
        if moment.tzinfo is None:
            advice = f"add it: {text}+07:00, or {text}Z for UTC; a date alone is that whole day"
            self.fail(f"{text!r} does not say in which zone: {advice}", param, ctx)
        return moment

    def _of_day(self, day: date, zone: ZoneInfo | None, param: click.Parameter | None) -> datetime:
        midnight = datetime.combine(day + timedelta(days=self._to_its_end), time(), zone)
        # Without --zone: as this machine reckoned, or will, on that day.
        moment = midnight if zone is not None else midnight.astimezone()
        whose = str(zone) if zone is not None else f"{moment.tzname()}, this machine's zone"
        option = param.opts[0] if param is not None else self.name
        end = "end" if self._to_its_end else "beginning"
        Output(as_json=True).note(f"{option} {day}: the {end} of that day in {whose}, {moment.isoformat()}")
        return moment


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def zone_option(command: F) -> F:
    """--zone, for all dates of a command."""
    return click.option(
        "--zone",
        envvar="GERBANG_ZONE",
        show_envvar=True,
        metavar="NAME",
        is_eager=True,
        expose_value=False,
        callback=_remember,
        help="Zone of dates that are given without a time, such as Asia/Jakarta. Default: this machine's.",
    )(command)


def _remember(ctx: click.Context, param: click.Parameter, name: str | None) -> None:
    if name is None:
        return
    try:
        ctx.meta[_ZONE] = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.BadParameter(f"there is no zone {name!r} on this machine", ctx, param) from error


def valid_from_option(command: F) -> F:
    """--valid-from."""
    text = "From when on Identify sees the subject: a date, from its beginning on, or a time with its offset."
    return click.option("--valid-from", type=Moment(), help=text)(command)


def expires_option(command: F) -> F:
    """--expires."""
    text = "Until when Identify sees the subject: a date, which is its last day, or a time with its offset."
    return click.option("--expires", "expire_time", type=Moment(to_its_end=True), help=text)(command)
