"""`gerbang enroll`: photos from files onto watchlists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TypedDict, Unpack

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gerbang import GerbangError, WatchlistClient, WatchlistNotFound
from gerbang_service.cli.enrolment_report import Tally, report
from gerbang_service.cli.enrolments import Enrolment, Terms
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.made_ids import NAME_LABEL, is_id, name_label
from gerbang_service.cli.manifest.enrolling import Manifest, read_manifest
from gerbang_service.cli.manifest.tables import ManifestError
from gerbang_service.cli.manifest.unphotographed import compared
from gerbang_service.cli.moments import expires_option, time_zone, valid_from_option, zone_option
from gerbang_service.cli.options import (
    Session,
    asks_server,
    face_option,
    labels_option,
    watchlists_option,
)
from gerbang_service.cli.photos import Found, UnclearPhotosError, find_people
from gerbang_service.cli.upload import Upload
from gerbang_service.domain.errors import FieldInvalid
from gerbang_service.domain.identifiers import check_labels


class _Options(TypedDict):
    """What is said of everybody in PATH; in a manifest the rows say it."""

    subject: str | None
    limit: int | None
    watchlists: tuple[str, ...]
    labels: dict[str, str]
    valid_from: datetime | None
    expire_time: datetime | None


@click.command(short_help="Enrol photos of one or many people.")
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--manifest",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Enrol the people in this file, CSV or JSON Lines, in the place of PATH.",
)
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the outcome of each row of the manifest goes. Default: beside it, NAME.results.csv.",
)
@watchlists_option("A watchlist that the people go on; may be repeated. None: they can be verified, not identified.")
@click.option("--subject", metavar="ID", help="Id of the person, where PATH holds one. Needed for a photo alone.")
@click.option(
    "--on-existing",
    type=click.Choice(["reject", "add", "replace"]),
    default="reject",
    show_default=True,
    help="What photos are to somebody who has the id already: 'add' only where it is the same person.",
)
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
    /,
    path: Path | None,
    manifest: Path | None,
    results: Path | None,
    on_existing: str,
    face_choice: str | None,
    allow_different: bool,  # noqa: FBT001 - click passes it by name
    again: bool,  # noqa: FBT001 - click passes it by name
    **options: Unpack[_Options],
) -> ExitCode:
    """Enrol the photos in PATH, or the people in a manifest.

    PATH is a photo, a folder of photos of one person, or a folder with a folder for each person, whose name becomes
    the subject's id. Of a name that is no id ([A-Za-z0-9._:-], 128 at most) one is made, and the name is kept as the
    label 'name'. Photos are added to somebody who is there only if --on-existing says so. Running it again sends all,
    and the server takes only what it has not got yet; so it also finishes a run that was broken off.

    A manifest has a row for each photo: subject_id, photo (beside the file), watchlists (separated by ;), valid_from,
    valid_until, on_existing, label.NAME. The result file repeats the rows with what became of them. It is a manifest
    of what is left to do.

    --timeout limits the whole upload; without it an upload may take as long as it takes.

    Exit codes: 0 all there was is enrolled; 1 not all: photos were rejected, somebody has none, or a file is nobody's;
    2 wrong usage, nothing was sent; 3 not finished, or no photo was kept; 5 a second person has to confirm some of it.
    """
    terms = Terms(face_choice=face_choice, on_existing=on_existing, allow_different=allow_different)
    try:
        if manifest is not None:
            return _by_manifest(session, manifest, results, terms, options, path=path, again=again)
        if path is None or results is not None:
            raise click.UsageError("--results needs --manifest FILE" if path else "give PATH, or --manifest FILE")
        return _by_path(session, path, terms, options, again=again)
    except (UnclearPhotosError, ManifestError) as error:
        raise click.UsageError(str(error)) from error


def _by_path(session: Session, path: Path, terms: Terms, options: _Options, *, again: bool) -> ExitCode:
    subject = options["subject"]
    if subject is not None and not is_id(subject):
        raise click.BadParameter("must be 1 to 128 characters of [A-Za-z0-9._:-]", param_hint="--subject")
    found = find_people(path, subject_id=subject, limit=options["limit"])
    terms = replace(
        terms,
        watchlists=tuple(dict.fromkeys(options["watchlists"])),
        valid_from=options["valid_from"],
        expire_time=options["expire_time"],
        labels=options["labels"],
    )
    people = _named(found, terms)
    tally = Tally([each.subject_id for each in people], found.photo_count, found.skipped, found.hidden)
    with session.client(WatchlistClient) as office:
        _require_watchlists(office, terms.watchlists)
        _send(session, Upload(office, people, timeout=session.timeout, again=again), tally)
    report(tally, session.output)
    _tell_unlisted(session, people, tally)
    return tally.exit_code


def _named(found: Found, terms: Terms) -> list[Enrolment]:
    """Return the people to enrol, with their names as a label where ids were made of them."""
    people = []
    for person in found.people:
        named = {NAME_LABEL: name_label(person.name)} if person.name else {}
        try:
            labels = check_labels("--label", {**named, **terms.labels})
        except FieldInvalid as error:
            more = f", one of which is the {NAME_LABEL} {person.name!r}" if named else ""
            raise click.UsageError(f"{error}{more}") from error
        people.append(Enrolment(person.subject_id, person.photos, replace(terms, labels=labels)))
    return people


def _by_manifest(
    session: Session,
    file: Path,
    results: Path | None,
    terms: Terms,
    options: _Options,
    *,
    path: Path | None,
    again: bool,
) -> ExitCode:
    if path is not None or any(value not in (None, (), {}) for value in options.values()):
        raise click.UsageError(
            "a manifest says it row by row: leave out PATH, --watchlist and whatever else is for everybody"
        )
    manifest = read_manifest(file, time_zone(click.get_current_context()), terms, results)
    for note in manifest.notes:
        session.output.note(note)
    people = manifest.people
    tally = Tally([each.subject_id for each in people], manifest.left, unit="row")
    with session.client(WatchlistClient) as office:
        _require_lists_of(office, manifest, file)
        with manifest.keeping(tally.results):
            _send(session, Upload(office, people, timeout=session.timeout, again=again), tally)
            _compare(office, manifest, tally)
    report(tally, session.output)
    _tell_unlisted(session, people, tally)
    session.output.line(f"Each row's outcome is in {manifest.results}")
    return tally.exit_code


def _compare(office: WatchlistClient, manifest: Manifest, tally: Tally) -> None:
    """See to the rows without a photo, unless the others are not finished."""
    try:
        for person in manifest.unphotographed if tally.finished else ():
            tally.add(compared(office, person))
    except GerbangError as error:
        tally.broken = error
    except KeyboardInterrupt:
        tally.interrupted = True


def _tell_unlisted(session: Session, people: Sequence[Enrolment], tally: Tally) -> None:
    """Say who is on no list by this; those who are added to stay on theirs."""
    bare = set(tally.without_photo)
    kept = [each for each in people if each.subject_id not in bare]
    unlisted = sum(not each.terms.watchlists and each.terms.on_existing != "add" for each in kept)
    if unlisted:
        session.output.line(f"On no list, so that they can be verified and not identified: {unlisted} of {len(kept)}")


def _require_watchlists(office: WatchlistClient, watchlists: Iterable[str]) -> None:
    """Fail once and at once for a list that is not there, not once a photo."""
    for watchlist_id in watchlists:
        office.get_watchlist(watchlist_id)


def _require_lists_of(office: WatchlistClient, manifest: Manifest, file: Path) -> None:
    """Refuse a manifest that names lists which are not there, each with its rows."""
    missing = set()
    for watchlist_id in {name for each in manifest.people for name in each.terms.watchlists}:
        try:
            office.get_watchlist(watchlist_id)
        except WatchlistNotFound:
            missing.add(watchlist_id)
    rows = [(row.number, name) for row in manifest.rows for name in row.watchlists if name in missing]
    if rows:
        raise ManifestError(file, [f"row {number}: watchlists: there is no list {name!r}" for number, name in rows])


def _send(session: Session, upload: Upload, tally: Tally) -> None:
    with _progress(session, tally.unit) as progress:
        task = progress.add_task("enrolling", total=tally.asked)
        try:
            for result in upload.results():
                tally.add(result)
                progress.advance(task)
        except GerbangError as error:
            tally.broken = error
        except KeyboardInterrupt:
            tally.interrupted = True
    tally.unanswered = upload.unanswered


def _progress(session: Session, unit: str) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit}s"),
        TimeRemainingColumn(),
        console=session.output.error_console,
        disable=not session.output.for_people_at_a_terminal,
        transient=True,
    )
