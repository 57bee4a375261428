"""The result file of a manifest: its rows with what became of each; itself a manifest, of what is left to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from gerbang_service.cli.enrolments import Outcome, PhotoResult
from gerbang_service.cli.manifest.rows import ALREADY, ENROLLED, REJECTED, RESULT_COLUMNS, Row
from gerbang_service.cli.manifest.tables import Line, Table

_MARK: Final = ".results"
_OUTCOMES: Final = {Outcome.ENROLLED: ENROLLED, Outcome.ALREADY_THERE: ALREADY, Outcome.REJECTED: REJECTED}
"""What was not done, or not tried, has no outcome in the file: it is left to do."""


def results_path(manifest: Path) -> Path:
    """Return where a manifest's results go: beside it; those of a result file into its own place."""
    if Path(manifest.stem).suffix == _MARK:
        return manifest
    return manifest.with_name(f"{manifest.stem}{_MARK}{manifest.suffix}")


def result_columns(table: Table) -> list[str]:
    """Return the columns of a manifest's result file."""
    return [*(each for each in table.columns if each not in RESULT_COLUMNS), *RESULT_COLUMNS]


def result_rows(table: Table, rows: Iterable[Row], results: Iterable[PhotoResult]) -> Iterator[dict[str, str]]:
    """Yield the rows of a manifest with their outcomes, in their order; those done before as they were."""
    became = {(each.subject_id, each.photo): each for each in results}
    for line, row in zip(table.lines, rows, strict=True):
        if row.done:
            yield dict(line.cells)
        else:
            yield {**_said(line), **_told(became.get((row.subject_id, row.photo)))}


def _said(line: Line) -> dict[str, str]:
    return {name: cell for name, cell in line.cells.items() if name not in RESULT_COLUMNS}


def _told(result: PhotoResult | None) -> dict[str, str]:
    if result is None:
        return {}
    return {
        "outcome": _OUTCOMES.get(result.outcome, ""),
        "reason": result.reason,
        "detail": result.detail,
        "template_id": result.template_id,
        "duplicates": ";".join(f"{each.subject_id} {each.similarity:.4f}" for each in result.duplicates),
    }
