"""`gerbang enroll`: photos from files onto watchlists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TypedDict, Unpack

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gerbang import GerbangError, WatchlistClient
from gerbang_service.cli.enrolment_report import Tally, report
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.moments import expires_option, valid_from_option, zone_option
from gerbang_service.cli.options import (
    Session,
    asks_server,
    face_option,
    labels_option,
    watchlists_option,
)
from gerbang_service.cli.photos import Found, UnclearPhotosError, find_people, is_id
from gerbang_service.cli.upload import Terms, Upload


class _Options(TypedDict):
    valid_from: datetime | None
    expire_time: datetime | None
    face_choice: str | None
    allow_different: bool


@click.command(short_help="Enrol photos of one or many people.")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@watchlists_option("A watchlist that the people go on; may be repeated. None: they can be verified, not identified.")
@click.option("--subject", metavar="ID", help="Id of the person, where PATH holds one. Default: made of the name.")
@valid_from_option
@expires_option
@zone_option
@labels_option("Returned with every candidate; may be repeated.")
@face_option("only")
@click.option("--allow-different", is_flag=True, help="Somebody looked: photos of unlike faces are of one person.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Take at most N photos of each person.")
@click.option("--again", is_flag=True, help="Enrol those again who were enrolled from these photos and deleted since.")
@asks_server
def enroll(
    session: Session,
    path: Path,
    subject: str | None,
    limit: int | None,
    again: bool,  # noqa: FBT001 - click passes it by name
    watchlists: tuple[str, ...],
    labels: dict[str, str],
    **options: Unpack[_Options],
) -> ExitCode:
    """Enrol the photos in PATH.

    PATH is a photo, a folder of photos of one person, or a folder with a folder for each person, whose name becomes
    the subject's id. Photos are added to subjects that are already there. Running it again sends all, and the server
    takes only what it has not got yet; so it also finishes a run that was broken off.

    --timeout limits the whole upload; without it an upload may take as long as it takes.

    Exit codes: 0 every photo is enrolled; 1 some photos were rejected; 2 wrong usage; 3 not finished, or no photo was
    kept.
    """
    if subject is not None and not is_id(subject):
        raise click.BadParameter("must be 1 to 128 characters of [A-Za-z0-9._:-]", param_hint="--subject")
    try:
        found = find_people(path, subject_id=subject, limit=limit)
    except UnclearPhotosError as error:
        raise click.UsageError(str(error)) from error
    terms = Terms(watchlists=tuple(dict.fromkeys(watchlists)), labels=labels, **options)
    with session.client(WatchlistClient) as office:
        _require_watchlists(office, terms.watchlists)
        upload = Upload(office, found.people, terms, timeout=session.timeout, again=again)
        tally = _send(session, upload, found)
    report(tally, session.output)
    return tally.exit_code


def _require_watchlists(office: WatchlistClient, watchlists: Sequence[str]) -> None:
    """Fail once and at once for a list that is not there, not once a photo."""
    for watchlist_id in watchlists:
        office.get_watchlist(watchlist_id)


def _send(session: Session, upload: Upload, found: Found) -> Tally:
    tally = Tally(found)
    with _progress(session) as progress:
        task = progress.add_task("enrolling", total=found.photo_count)
        try:
            for result in upload.results():
                tally.add(result)
                progress.advance(task)
        except GerbangError as error:
            tally.broken = error
        except KeyboardInterrupt:
            tally.interrupted = True
    tally.unanswered = upload.unanswered
    return tally


def _progress(session: Session) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("photos"),
        TimeRemainingColumn(),
        console=session.output.error_console,
        disable=not session.output.for_people_at_a_terminal,
        transient=True,
    )
