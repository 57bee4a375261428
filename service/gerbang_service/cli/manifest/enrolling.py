"""A manifest as it is enrolled: who is to be enrolled by it, and where its results go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

from gerbang_service.cli.enrolments import Enrolment, PhotoResult, Terms
from gerbang_service.cli.manifest.people import people_of
from gerbang_service.cli.manifest.results import result_columns, result_rows, results_path
from gerbang_service.cli.manifest.rows import Row, read_rows
from gerbang_service.cli.manifest.tables import ManifestError, Table, check_place, read_table, write_table


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest that was checked. `notes`: what is to be said of its dates; `results`: the result file."""

    table: Table
    rows: Sequence[Row]
    people: Sequence[Enrolment]
    notes: Sequence[str]
    results: Path

    @property
    def left(self) -> int:
        """How many rows are left to do."""
        return sum(not row.done for row in self.rows)

    @property
    def unphotographed(self) -> list[Enrolment]:
        """Who has a row without a photo that is left to do."""
        bare = {row.subject_id for row in self.rows if row.photo is None and not row.done}
        return [person for person in self.people if person.subject_id in bare]

    @contextmanager
    def keeping(self, results: Sequence[PhotoResult]) -> Iterator[None]:
        """Write the result file at the end of a block, whatever ends it, of the `results` that there are by then.

        Raises OSError before the block where it could not be written.
        """
        check_place(self.results)
        try:
            yield
        finally:
            rows = result_rows(self.table, self.rows, results)
            write_table(self.results, result_columns(self.table), rows, delimiter=self.table.delimiter)


def read_manifest(path: Path, zone: tzinfo | None, terms: Terms, results: Path | None) -> Manifest:
    """Read and check a manifest. `terms`: the choice of face for all, and `on_existing` for who does not say it.

    Raises ManifestError with all that is wrong with it, OSError.
    """
    results = results or results_path(path)
    table = read_table(path)
    said = read_rows(table, path, zone)
    people = people_of(said.rows, path, terms)
    if results != results_path(results) and results.resolve() == path.resolve():
        raise ManifestError(path, ["--results names the manifest itself"])
    return Manifest(table, said.rows, people, said.notes, results)
