"""`gerbang recall`: whom each search plan misses."""

from __future__ import annotations

import click

from gerbang import WatchlistClient
from gerbang_service.cli.documents import document
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.options import Session, asks_server
from gerbang_service.cli.words import MEASURED_PLANS, plan_word


@click.command(short_help="Measure whom each search plan misses.")
@click.option("--sample", default=100, show_default=True, help="Enrolled templates to make probes for.")
@click.option("--similarity", "similarities", multiple=True, type=float, help="Of the probes to them; may be repeated.")
@click.option("--plan", "plans", multiple=True, type=click.Choice(MEASURED_PLANS), help="To measure; may be repeated.")
@asks_server
def recall(session: Session, sample: int, similarities: tuple[float, ...], plans: tuple[str, ...]) -> ExitCode:
    """Measure on the live gallery whom each search plan misses, and how long it takes.

    Probes are made at known similarities to a sample of the gallery's own templates; a probe counts when its own
    template is the most similar of all to it. Takes seconds to minutes, on one of the server's processors. Without
    options: all plans, at 0.3, 0.4, 0.5 and 0.6.
    """
    with session.client(WatchlistClient) as office:
        measured = office.measure_recall(sample=sample, similarities=similarities, plans=plans)
    output = session.output
    if output.as_json:
        output.document(document(measured))
    output.table(
        ("similarity", "plan", ">probes", ">missed", ">share", ">median ms", ">p99 ms"),
        (
            (
                f"{each.similarity:.2f}",
                plan_word(each.plan),
                f"{each.probes:,}",
                f"{each.missed:,}",
                f"{each.missed / each.probes:.2%}" if each.probes else "-",
                f"{each.median_us / 1000:.2f}",
                f"{each.p99_us / 1000:.2f}",
            )
            for each in measured.measurements
        ),
        title=f"{measured.gallery_size:,} templates, {measured.graph_indexed:,} of them in the graph",
    )
    return ExitCode.YES
