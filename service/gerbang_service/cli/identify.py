"""`gerbang identify`: whether the person in the photo is on a watchlist."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack

import click
from rich.text import Text

from gerbang import GateClient, GerbangError
from gerbang.v1.matching_service_pb2 import Decision, IdentifyResponse
from gerbang_service.cli.documents import document, error_document
from gerbang_service.cli.exits import ExitCode, overall
from gerbang_service.cli.options import Session, asks_server, face_option, threshold_option, watchlists_option
from gerbang_service.cli.output import Output, labels_text, listed
from gerbang_service.cli.threshold_text import threshold_text
from gerbang_service.cli.words import DIRECTIONS, PLANS, action_text, face_text, plan_word

_VERDICTS: Final = {
    Decision.DECISION_NO_HIT: (ExitCode.NO, "no hit", "bold green"),
    Decision.DECISION_HIT: (ExitCode.YES, "HIT", "bold red"),
    Decision.DECISION_SILENT_HIT: (ExitCode.SILENT, "SILENT HIT", "bold magenta"),
}


class _Options(TypedDict):
    watchlists: tuple[str, ...]
    direction: str | None
    max_candidates: int
    threshold: float | None
    plan: str | None
    min_revision: int
    face_choice: str | None


@click.command(
    short_help="Is the person in a photo on a watchlist?",
    epilog="Exit codes: 0 hit; 1 no hit; 2 wrong usage; 3 error; 4 silent hit. With several photos: 3 if any could not "
    "be answered, else 0 if any was a hit, else 4 if any was a silent one, else 1.",
)
@click.argument(
    "photos",
    metavar="PHOTO...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
)
@click.option("--direction", type=click.Choice(DIRECTIONS), help="Search only the lists that concern this direction.")
@watchlists_option("Search this list; may be repeated. Default: all.")
@click.option(
    "--max-candidates",
    type=click.IntRange(1, 100),
    default=5,
    show_default=True,
    metavar="N",
    help="Show at most N subjects.",
)
@threshold_option("Similarity from which on it is a hit, -1 to 1. Default: the list's own, else the server's.")
@click.option(
    "--plan",
    type=click.Choice(PLANS),
    help="How to search; scores are exact in any case. Default: the server's.",
)
@click.option(
    "--min-revision",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Answer only from a gallery at this revision or later.",
)
@face_option("largest")
@click.option("-v", "--verbose", is_flag=True, help="Show what was measured of the face, and how the search was done.")
@asks_server
def identify(
    session: Session,
    photos: tuple[Path, ...],
    verbose: bool,  # noqa: FBT001 - click passes it by name
    **search: Unpack[_Options],
) -> ExitCode:
    """Search the watchlists for the person in each PHOTO."""
    output = session.output
    results: list[dict[str, Any]] = []
    codes: list[ExitCode] = []
    with session.client(GateClient) as gate:
        for photo in photos:
            started = time.perf_counter()
            try:
                answer = gate.identify(photo, **search)
            except GerbangError as error:
                codes.append(ExitCode.ERROR)
                results.append({"photo": str(photo), "error": error_document(error)})
                output.failure(error, about=str(photo))
                continue
            ms = (time.perf_counter() - started) * 1000
            codes.append(_VERDICTS[decision_of(answer)][0])
            results.append({"photo": str(photo), "ms": round(ms, 1), "answer": document(answer)})
            _show(output, str(photo), answer, ms)
            if verbose:
                _show_details(output, answer)
    if output.as_json:
        output.document({"results": results})
    return overall(codes)


def decision_of(answer: IdentifyResponse) -> Decision.ValueType:
    """Return what a search came to, also where an older server does not say: to it any candidate was a hit."""
    if answer.decision:
        return answer.decision
    return Decision.DECISION_HIT if answer.hit else Decision.DECISION_NO_HIT


def _show(output: Output, photo: str, answer: IdentifyResponse, ms: float) -> None:
    _, word, style = _VERDICTS[decision_of(answer)]
    verdict = Text(word, style=style)
    output.line(verdict, f"  {photo}", Text(f"  {ms:.0f} ms", style="dim"))
    for lack in answer.lacks:
        what = "failed" if lack.failed else f"did not hold {lack.behind:,} templates yet"
        output.line(Text(f"  not a complete search: the {lack.generator} {what}", style="bold yellow"))
    if answer.threshold_basis.target_not_shown:
        output.line(Text("  more strangers may be stopped than the target says: see --verbose", style="bold yellow"))
    if not answer.candidates:
        return
    output.table(
        ("subject", ">similarity", ">threshold", "watchlists", "action", "labels"),
        [
            (
                found.subject_id,
                f"{found.similarity:.4f}",
                f"{found.threshold:.4f}",
                listed(found.watchlists),
                action_text(found.action),
                labels_text(found.labels),
            )
            for found in answer.candidates
        ],
    )


def _show_details(output: Output, answer: IdentifyResponse) -> None:
    if answer.HasField("probe_face"):
        output.line(Text(f"  face: {face_text(answer.probe_face)}", style="dim"))
    output.line(
        Text(
            f"  search: plan {plan_word(answer.plan)} over {answer.gallery_size} templates at revision "
            f"{answer.revision}",
            style="dim",
        )
    )
    if answer.HasField("top_similarity"):
        rate = f", as {answer.fmr_at_similarity:.2g} of strangers are" if answer.HasField("fmr_at_similarity") else ""
        output.line(Text(f"  most similar: {answer.top_similarity:.4f}{rate}; search {answer.search_id}", style="dim"))
    basis = threshold_text(answer.threshold, answer.threshold_basis)
    output.line(Text(f"  threshold where a list has none of its own: {basis}", style="dim"))
    for found in answer.candidates:
        basis = threshold_text(found.threshold, found.threshold_basis)
        output.line(Text(f"  threshold of {found.subject_id}: {basis}", style="dim"))
