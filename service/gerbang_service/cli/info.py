"""`gerbang info`: what the server is and holds."""

from __future__ import annotations

import click

from gerbang import Generator, WatchlistClient
from gerbang_service.cli.documents import document
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.options import Session, asks_server
from gerbang_service.cli.output import NONE, time_text
from gerbang_service.cli.threshold_text import threshold_text
from gerbang_service.cli.words import chain_text, plan_word


@click.command(short_help="What the server is and holds.")
@asks_server
def info(session: Session) -> ExitCode:
    """Tell the server's version, face pack, thresholds, and how much is enrolled."""
    with session.client(WatchlistClient) as office:
        found = office.server_info()
    output = session.output
    if output.as_json:
        output.document(document(found))
    output.facts(
        {
            "server": session.server,
            "version": found.version,
            "started": time_text(found, "start_time"),
            "face pack": found.face_pack,
            "recogniser": found.model,
            **({"images": chain_text(found.capture_chain)} if found.HasField("capture_chain") else {}),
            "dimension": str(found.dimension),
            "identification threshold": threshold_text(found.identification_threshold, found.identification_basis),
            "verification threshold": threshold_text(found.verification_threshold, found.verification_basis),
            "known rates": found.identification_basis.points_source or NONE,
            "plan": plan_word(found.plan),
            "subjects": f"{found.subject_count:,}",
            "templates": f"{found.gallery_size:,}",
            "watchlists": f"{found.watchlist_count:,}",
            "revision": f"{found.revision:,}",
            "epoch": found.epoch,
            "time zone": found.time_zone or NONE,
            **{each.name: _progress(each) for each in found.generators},
            "recall check": f"{found.audit.audited:,} searches checked, {found.audit.missed:,} missed someone, "
            f"{found.audit.skipped:,} skipped",
        }
    )
    return ExitCode.YES


def _progress(generator: Generator) -> str:
    failed = ", failed: proposes nobody" if generator.failed else ""
    return f"{generator.indexed:,} indexed, {generator.pending:,} pending{failed}"
