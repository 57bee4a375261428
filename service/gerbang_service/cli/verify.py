"""`gerbang verify`: whether it is the person that the passport says."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.text import Text

from gerbang import CounterClient, GerbangError
from gerbang_service.cli.documents import document
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.options import Session, asks_server, face_option, threshold_option
from gerbang_service.cli.threshold_text import threshold_text
from gerbang_service.cli.words import face_text

_PHOTO = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.command(
    short_help="Is it the person that the passport says?",
    epilog="Exit codes: 0 match; 1 no match; 2 wrong usage; 3 error.",
)
@click.argument("probe", type=_PHOTO)
@click.argument("reference", metavar="[REFERENCE_PHOTO]", required=False, type=_PHOTO)
@click.option("--subject", metavar="ID", help="Compare with this enrolled subject, whatever its validity.")
@threshold_option("Similarity from which on it is a match, -1 to 1. Default: the server's.")
@click.option(
    "--min-revision",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Answer only from a gallery at this revision or later.",
)
@face_option("largest")
@click.option("-v", "--verbose", is_flag=True, help="Show what was measured of the faces.")
@asks_server
def verify(
    session: Session,
    probe: Path,
    reference: Path | None,
    subject: str | None,
    threshold: float | None,
    min_revision: int,
    face_choice: str | None,
    verbose: bool,  # noqa: FBT001 - click passes it by name
) -> ExitCode:
    """Compare the face in PROBE with an enrolled subject or with another photo, such as that of the passport."""
    if (reference is None) == (subject is None):
        raise click.UsageError("give either a REFERENCE_PHOTO or --subject ID")
    started = time.perf_counter()
    try:
        with session.client(CounterClient) as counter:
            answer = counter.verify(
                probe,
                subject_id=subject,
                reference=reference,
                threshold=threshold,
                min_revision=min_revision,
                face_choice=face_choice,
            )
    except GerbangError as error:
        photo = {"probe": probe, "sample": reference}.get(error.metadata.get("field", ""))
        session.output.fatal(error, about=str(photo or ""))
        return ExitCode.ERROR
    ms = (time.perf_counter() - started) * 1000
    output = session.output
    if output.as_json:
        output.document({"ms": round(ms, 1), "answer": document(answer)})
    verdict = Text("MATCH", style="bold green") if answer.match else Text("NO MATCH", style="bold red")
    relation = "reaches" if answer.match else "is below"
    output.line(
        verdict,
        f"  similarity {answer.similarity:.4f} {relation} the threshold {answer.threshold:.4f}",
        Text(f"  {ms:.0f} ms", style="dim"),
    )
    if verbose:
        output.line(Text(f"  threshold {threshold_text(answer.threshold, answer.threshold_basis)}", style="dim"))
        if answer.HasField("fmr_at_similarity"):
            share = f"{answer.fmr_at_similarity:.1e}"
            output.line(Text(f"  of two people's photos a share of {share} is as similar", style="dim"))
        for name, face in (("probe", answer.probe_face), ("reference", answer.reference_face)):
            if face.HasField("box"):
                output.line(Text(f"  {name}: {face_text(face)}", style="dim"))
    return ExitCode.YES if answer.match else ExitCode.NO
