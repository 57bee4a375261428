"""A date is a whole day of a zone that is said; a time without a zone is nobody's."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from gerbang_service.cli.moments import Moment, expires_option, valid_from_option, zone_option
from gerbang_service.configuration.settings import Settings
from gerbang_service.domain.errors import StartupError


@click.command()
@valid_from_option
@expires_option
@zone_option
def until(valid_from: datetime | None, expire_time: datetime | None) -> None:
    """Print both in UTC."""
    for each in (valid_from, expire_time):
        click.echo(each.astimezone(UTC).isoformat() if each else "-")


def told(*arguments: str, **environment: str) -> Result:
    """Run the command, on a machine in Jakarta unless told otherwise."""
    return CliRunner().invoke(until, arguments, env=environment)


def test_a_ban_until_a_date_holds_to_the_end_of_that_day_where_it_is_meant() -> None:
    result = told("--expires", "2027-01-31", "--time-zone", "Asia/Jakarta")
    assert result.stdout.split() == ["-", "2027-01-31T17:00:00+00:00"]
    assert result.stderr == "--expires 2027-01-31: the end of that day in Asia/Jakarta, 2027-02-01T00:00:00+07:00\n"


def test_from_a_date_on_is_from_its_beginning_on() -> None:
    result = told("--valid-from", "2027-01-31", "--time-zone", "Asia/Jakarta")
    assert result.stdout.split() == ["2027-01-30T17:00:00+00:00", "-"]


def test_the_zone_of_an_office_is_set_once() -> None:
    assert (
        told("--expires", "2027-01-31", GERBANG_TIME_ZONE="Asia/Jayapura").stdout.split()[1]
        == "2027-01-31T15:00:00+00:00"
    )


def test_the_names_of_before_still_count() -> None:
    for result in (
        told("--expires", "2027-01-31", GERBANG_ZONE="Asia/Tokyo"),
        told("--expires", "2027-01-31", "--zone", "Asia/Tokyo"),
    ):
        assert result.stdout.split()[1] == "2027-01-31T15:00:00+00:00"


def test_the_days_around_a_change_of_clocks_are_whole_ones() -> None:
    """In Berlin the 28th of March 2027 has 23 hours."""
    result = told("--valid-from", "2027-03-28", "--expires", "2027-03-28", "--time-zone", "Europe/Berlin")
    assert result.stdout.split() == ["2027-03-27T23:00:00+00:00", "2027-03-28T22:00:00+00:00"]


def test_without_a_zone_it_is_that_of_the_machine_and_says_so() -> None:
    result = told("--expires", "2027-01-31")
    midnight = datetime(2027, 2, 1).astimezone()
    assert datetime.fromisoformat(result.stdout.split()[1]) == midnight
    assert f"in {midnight.tzname()}, this machine's zone, {midnight.isoformat()}" in result.stderr


def test_a_time_with_an_offset_is_taken_as_it_is() -> None:
    result = told("--expires", "2226-03-01T19:00+07:00")
    assert (result.stdout.split()[1], result.stderr) == ("2226-03-01T12:00:00+00:00", "")


def test_an_end_in_the_past_is_told() -> None:
    """Often a wrong year, or a wrong zone: nobody would be found."""
    assert "--expires 2026-03-01 is in the past: Identify does not find them" in told("--expires", "2026-03-01").stderr
    assert told("--valid-from", "2026-03-01T00:00Z").stderr == ""


def test_a_time_without_a_zone_is_refused_with_advice() -> None:
    result = told("--expires", "2026-03-01T12:00")
    assert result.exit_code == 2
    assert "'2026-03-01T12:00' does not say in which zone: add it: 2026-03-01T12:00+07:00" in result.stderr


@pytest.mark.parametrize("text", ["tomorrow", "2027-02-30", "9999-12-31", "31.01.2027"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a date such as 2027-01-31"):
        Moment(to_its_end=True).convert(text, None, None)


def test_a_zone_that_there_is_not_is_refused() -> None:
    for name in ("Asia/Jakarto", "../../etc/passwd", ""):
        result = told("--expires", "2027-01-31", "--time-zone", name)
        assert result.exit_code == 2
        assert "there is no zone" in result.stderr


@pytest.mark.parametrize("name", ["Asia/Nowhere", "../etc/passwd", "+07:00"])
def test_a_server_refuses_a_zone_that_there_is_not(name: str) -> None:
    with pytest.raises(StartupError, match="time_zone"):
        Settings(data=Path("data"), pack="none", time_zone=name)
