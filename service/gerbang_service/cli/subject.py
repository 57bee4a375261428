"""`gerbang subject ...`: the people who are enrolled."""

from __future__ import annotations

from typing import Any

import click

from gerbang import WatchlistClient
from gerbang.v1.subject_pb2 import Subject, TemplateInfo
from gerbang.v1.watchlist_service_pb2 import UpdateSubjectResponse
from gerbang_service.cli.changes import changes, clearing_option
from gerbang_service.cli.documents import document
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.losses import Consent, consent_options, consented, of_deletion, of_last_template, of_update
from gerbang_service.cli.moments import expires_option, valid_from_option, zone_option
from gerbang_service.cli.options import (
    InOrder,
    Session,
    asks_server,
    labels_option,
    watchlists_option,
)
from gerbang_service.cli.output import NONE, Cell, Output, labels_text, listed, time_text
from gerbang_service.cli.subject_export import export
from gerbang_service.cli.subject_list import list_some
from gerbang_service.cli.words import chain_text


@click.group(cls=InOrder, short_help="Show, change and delete enrolled people.")
def subject() -> None:
    """Show, change and delete enrolled people; 'gerbang enroll' adds them."""


@subject.command(short_help="Show one subject.")
@click.argument("subject_id", metavar="ID")
@asks_server
def show(session: Session, subject_id: str) -> ExitCode:
    """Show the subject ID: its lists, validity, labels and templates."""
    with session.client(WatchlistClient) as office:
        found = office.get_subject(subject_id)
    if session.output.as_json:
        session.output.document({"subject": document(found)})
    _show(session.output, found)
    return ExitCode.YES


subject.add_command(list_some)
subject.add_command(export)


@subject.command(short_help="Change a subject.")
@click.argument("subject_id", metavar="ID")
@watchlists_option("Be on this list, and on none that is not named; may be repeated.")
@click.option("--add-watchlist", "add_watchlists", multiple=True, metavar="ID", help="Be on this list too.")
@click.option("--remove-watchlist", "remove_watchlists", multiple=True, metavar="ID", help="Leave this list.")
@clearing_option("--no-watchlists", "Leave all lists.")
@valid_from_option
@clearing_option("--no-valid-from", "Be valid from ever.")
@expires_option
@clearing_option("--no-expires", "Never expire.")
@zone_option
@labels_option("In the place of all labels there are; may be repeated.")
@clearing_option("--no-labels", "Take all labels away.")
@consent_options
@asks_server
def update(session: Session, /, subject_id: str, **given: Any) -> ExitCode:  # noqa: ANN401 - as click parsed them
    """Change the lists, validity or labels of the subject ID: only what is given is changed.

    Says who leaves which list, or is found for less long, and asks before.
    """
    consent = Consent.taken_from(given)
    fields = changes(
        given,
        {
            "no_watchlists": ("watchlists", ()),
            "no_valid_from": ("valid_from", None),
            "no_expires": ("expire_time", None),
            "no_labels": ("labels", {}),
        },
    )
    if "watchlists" in fields and {"add_watchlists", "remove_watchlists"} & set(fields):
        raise click.UsageError("--watchlist and --no-watchlists say all lists: not with --add- or --remove-watchlist")
    with session.client(WatchlistClient) as office:
        before = office.get_subject(subject_id)
        if not consented(session, of_update(before, fields), consent):
            return ExitCode.YES if consent.dry_run else ExitCode.NO
        # From the very state that was shown: nobody leaves a list whom nobody was told of.
        expected = consent.expected_revision or before.revision
        changed = office.update_subject(subject_id, expected_revision=expected, note=consent.note, **fields)
    if session.output.as_json:
        session.output.document(document(changed))
    session.output.line(f"changed {subject_id}{_moves(changed)}")
    _show(session.output, changed.subject)
    return ExitCode.YES


@subject.command(short_help="Erase a subject.")
@click.argument("subject_id", metavar="ID")
@consent_options
@asks_server
def delete(session: Session, /, subject_id: str, **given: Any) -> ExitCode:  # noqa: ANN401 - as click parsed them
    """Erase the subject ID with all its templates. Says which lists they leave, and asks before."""
    consent = Consent.taken_from(given)
    with session.client(WatchlistClient) as office:
        before = office.get_subject(subject_id)
        if not consented(session, of_deletion(before), consent):
            return ExitCode.YES if consent.dry_run else ExitCode.NO
        expected = consent.expected_revision or before.revision
        gone = office.delete_subject(subject_id, expected_revision=expected, note=consent.note)
    if session.output.as_json:
        session.output.document(document(gone))
    session.output.line(f"erased {subject_id}")
    return ExitCode.YES


@subject.command("delete-template", short_help="Erase one template of a subject.")
@click.argument("subject_id", metavar="ID")
@click.argument("template_id", metavar="TEMPLATE_ID")
@consent_options
@asks_server
def delete_template(session: Session, /, subject_id: str, template_id: str, **given: Any) -> ExitCode:  # noqa: ANN401 - as click parsed them
    """Erase TEMPLATE_ID of the subject ID, who stays enrolled, even without any template; asks before the last."""
    consent = Consent.taken_from(given)
    with session.client(WatchlistClient) as office:
        before = office.get_subject(subject_id)
        if not consented(session, of_last_template(before, template_id), consent):
            return ExitCode.YES if consent.dry_run else ExitCode.NO
        expected = consent.expected_revision or before.revision
        changed = office.delete_template(subject_id, template_id, expected_revision=expected, note=consent.note)
    if session.output.as_json:
        session.output.document(document(changed))
    session.output.line(f"erased template {template_id} of {subject_id}, {len(changed.subject.templates)} left")
    return ExitCode.YES


def _moves(changed: UpdateSubjectResponse) -> str:
    """Say which lists a change has put a subject on, and taken it off."""
    put = f", put on {', '.join(changed.added_watchlists)}" if changed.added_watchlists else ""
    off = f", taken off {', '.join(changed.removed_watchlists)}" if changed.removed_watchlists else ""
    return put + off


def _show(output: Output, found: Subject) -> None:
    output.facts(
        {
            "subject": found.subject_id,
            "watchlists": listed(found.watchlists),
            "valid from": time_text(found, "valid_from"),
            "expires": time_text(found, "expire_time"),
            "labels": labels_text(found.labels) or NONE,
            "enrolled": time_text(found, "create_time"),
            "changed": time_text(found, "update_time"),
            "revision": f"{found.revision}",
            **({"waiting for a second person": listed(found.open_proposals)} if found.open_proposals else {}),
        }
    )
    rows = [_template_row(template) for template in found.templates]
    if rows:
        output.table(
            ("template", "enrolled", ">between eyes", ">sharpness", ">brightness", ">yaw", "recogniser", "images"), rows
        )
    else:
        output.line("No templates: this subject can be neither identified nor verified.")


def _template_row(template: TemplateInfo) -> tuple[Cell, ...]:
    model = f"{template.model[:12]}..." if len(template.model) > 15 else template.model
    chain = chain_text(template.capture_chain) if template.HasField("capture_chain") else NONE
    if not template.HasField("quality"):
        return (template.template_id, time_text(template, "create_time"), NONE, NONE, NONE, NONE, model, chain)
    quality = template.quality
    return (
        template.template_id,
        time_text(template, "create_time"),
        f"{quality.inter_eye_px:.0f} px",
        f"{quality.sharpness:.0f}",
        f"{quality.brightness:.0f}",
        f"{quality.yaw:+.0f}°",
        model,
        chain,
    )
