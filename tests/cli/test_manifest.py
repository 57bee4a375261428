"""`gerbang enroll --manifest` and `gerbang subject export`, against a real server, as an office uses them."""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gerbang import WatchlistClient
from gerbang_service.cli.root import root
from pictures import crowd, photo
from running import RunningServer


class Desk:
    """An office's desk: a folder for manifests and photos, a list of its own, and the command line."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address, self.folder = address, folder
        self.tag = uuid.uuid4().hex[:8]
        self.office = WatchlistClient(address, timeout=30)
        self.office.create_watchlist(self.tag)
        for number in range(5):
            (folder / f"{number}.jpg").write_bytes(photo(9000 + number))
            (folder / f"{number}-later.jpg").write_bytes(photo(9000 + number, 2))
        (folder / "crowd.png").write_bytes(crowd(9000, 9001))

    def run(self, *arguments: str | Path) -> Result:
        command = [*map(str, arguments), "--server", self.address]
        return CliRunner().invoke(root, command, env={"GERBANG_TIME_ZONE": "Asia/Jakarta"})

    def write(self, rows: list[dict[str, str]], name: str = "people.csv") -> Path:
        columns = dict.fromkeys(key for row in rows for key in row)
        with (self.folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        return self.folder / name

    def row(self, number: int, **cells: str) -> dict[str, str]:
        own = {"subject_id": f"{self.tag}-{number}", "photo": f"{number}.jpg", "watchlists": self.tag}
        return own | {key.replace("label_", "label."): cell for key, cell in cells.items()}

    def templates(self) -> dict[int, int]:
        """Return how many templates those on the list have, by number."""
        found = self.office.list_subjects(watchlist=self.tag)
        return {int(each.subject_id.rpartition("-")[2]): len(each.templates) for each in found}


@pytest.fixture
def desk(server: RunningServer, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(server.address, tmp_path)
    with made.office:
        yield made


def outcomes(file: Path) -> list[tuple[str, str]]:
    with file.open(encoding="utf-8", newline="") as rows:
        return [(row["outcome"], row["reason"]) for row in csv.DictReader(rows)]


def test_results_are_a_manifest_of_what_is_left(desk: Desk) -> None:
    """Each row's outcome is told; when the photo is mended and the results are fed back, only that is done."""
    rows = [desk.row(1), desk.row(2), desk.row(2, photo="crowd.png"), desk.row(3, photo="crowd.png")]
    manifest = desk.write(rows)
    first = desk.run("enroll", "--manifest", manifest)
    results = desk.folder / "people.results.csv"
    assert first.exit_code == 1, first.output
    assert outcomes(results) == [("enrolled", "")] * 2 + [("rejected", "SEVERAL_FACES")] * 2
    assert desk.templates() == {1: 1, 2: 1}

    again = desk.run("enroll", "--manifest", manifest)
    assert again.exit_code == 1
    assert outcomes(results) == [("already", "")] * 2 + [("rejected", "SEVERAL_FACES")] * 2

    results.write_text(results.read_text().replace("crowd.png", "2-later.jpg", 1).replace("crowd.png", "3.jpg", 1))
    last = desk.run("enroll", "--manifest", results)
    assert last.exit_code == 0, last.output
    assert outcomes(results) == [("already", "")] * 2 + [("enrolled", "")] * 2
    assert desk.templates() == {1: 1, 2: 2, 3: 1}
    assert desk.run("enroll", "--manifest", results).exit_code == 0
    assert desk.templates() == {1: 1, 2: 2, 3: 1}


def test_results_are_written_as_the_manifest_is(desk: Desk) -> None:
    """With what the office's spreadsheet has between columns, and nothing is left beside it."""
    manifest = desk.folder / "people.csv"
    manifest.write_text(f"subject_id;photo;watchlists;label.x\n{desk.tag}-1;1.jpg;{desk.tag};=1\n")
    assert desk.run("enroll", "--manifest", manifest).exit_code == 0
    (row,) = (desk.folder / "people.results.csv").read_text().splitlines()[1:]
    assert row.startswith(f"{desk.tag}-1;1.jpg;{desk.tag};=1;enrolled;;;")
    assert {each.name for each in desk.folder.glob(".*")} == set()


def test_another_person_of_the_same_id_is_refused_unless_the_row_says_so(desk: Desk) -> None:
    desk.run("enroll", "--manifest", desk.write([desk.row(1)]))
    other = desk.run("enroll", "--manifest", desk.write([desk.row(1, photo="1-later.jpg"), desk.row(3)], "other.csv"))
    assert other.exit_code == 1
    assert outcomes(desk.folder / "other.results.csv") == [("rejected", "SUBJECT_EXISTS"), ("enrolled", "")]
    assert desk.templates() == {1: 1, 3: 1}
    added = [desk.row(1, photo="1-later.jpg", on_existing="add")]
    for _ in range(2):
        assert desk.run("enroll", "--manifest", desk.write(added, "added.csv")).exit_code == 0
        assert desk.templates() == {1: 2, 3: 1}


def test_two_runs_of_different_people_never_merge(desk: Desk) -> None:
    """Two folders of the same name: the second is refused, unless --on-existing add says that it is the same person."""
    for number, home in enumerate(("one", "other"), start=1):
        folder = desk.folder / home / desk.tag
        folder.mkdir(parents=True)
        (folder / "1.jpg").write_bytes(photo(9000, number))
    first = desk.run("enroll", desk.folder / "one")
    assert first.exit_code == 0
    assert "On no list, so that they can be verified and not identified: 1 of 1" in first.output
    again = desk.run("enroll", desk.folder / "one")
    assert (again.exit_code, "0 enrolled, 1 already there" in again.output) == (0, True)
    refused = desk.run("enroll", desk.folder / "other")
    assert refused.exit_code == 3
    assert "SUBJECT_EXISTS" in refused.output
    assert "--on-existing add" in refused.output, "advice for one photo too"
    assert "On no list" not in refused.output
    assert len(desk.office.get_subject(desk.tag).templates) == 1
    assert desk.run("enroll", desk.folder / "other", "--on-existing", "add").exit_code == 0
    assert len(desk.office.get_subject(desk.tag).templates) == 2


def test_a_name_that_is_no_id_is_kept_as_a_label(desk: Desk) -> None:
    folder = desk.folder / "people" / f"王伟 {desk.tag}"
    folder.mkdir(parents=True)
    (folder / "1.jfif").write_bytes(photo(9001))
    assert desk.run("enroll", folder.parent, "--watchlist", desk.tag).exit_code == 0
    (found,) = desk.office.list_subjects(watchlist=desk.tag)
    assert found.subject_id.startswith(f"{desk.tag}:made-")
    assert dict(found.labels) == {"name": f"王伟 {desk.tag}"}
    many = [word for number in range(32) for word in ("--label", f"{number}=x")]
    refused = desk.run("enroll", folder.parent, *many)
    assert refused.exit_code == 2
    assert "at most 32 labels, one of which is the name" in refused.output.replace("\n", " ")
    assert desk.run("enroll", folder.parent, "--label", "name=x", "--on-existing", "replace").exit_code == 0
    assert dict(desk.office.get_subject(found.subject_id).labels) == {"name": "x"}


def test_nothing_is_sent_of_a_manifest_with_a_fault(desk: Desk) -> None:
    """Nor where a list is not there, nor where its results could not be written."""
    faulty = desk.run("enroll", "--manifest", desk.write([desk.row(1), desk.row(2, photo="none.jpg")]))
    assert faulty.exit_code == 2
    assert "row 3: photo: there is no 'none.jpg'" in faulty.output
    assert desk.run("enroll", "--manifest", desk.write([desk.row(1, watchlists="nowhere-1")])).exit_code == 2
    manifest = desk.write([desk.row(1)])
    assert desk.run("enroll", "--manifest", manifest, "--results", desk.folder / "no" / "x.csv").exit_code == 3
    assert desk.run("enroll", "--manifest", manifest, "--results", manifest).exit_code == 2
    assert desk.run("enroll", "--manifest", manifest, "--watchlist", desk.tag).exit_code == 2
    assert desk.run("enroll", desk.folder / "1.jpg").exit_code == 2
    assert desk.run("enroll").exit_code == 2
    assert desk.templates() == {}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_what_is_exported_and_enrolled_again_is_the_same(desk: Desk, suffix: str) -> None:
    """Lists, validity and labels, with the photos named again; without photos, the export says what is there."""
    rows = [
        desk.row(1, valid_from="2026-01-01", valid_until="2227-01-31", label_name='Ana "A";, Müller\nB', label_x=" y "),
        desk.row(2, valid_until="2227-01-31T10:00:00.5+07:00"),
        desk.row(3, label_decision_number="=1+1"),
    ]
    assert desk.run("enroll", "--manifest", desk.write(rows)).exit_code == 0
    first, second = desk.folder / f"first{suffix}", desk.folder / f"second{suffix}"
    exported = desk.run("subject", "export", first, "--watchlist", desk.tag)
    assert "3 subjects in" in exported.output
    assert desk.run("enroll", "--manifest", first).exit_code == 0  # as it is there

    before = {each.subject_id: each for each in desk.office.list_subjects(watchlist=desk.tag)}
    for subject_id in before:
        desk.office.delete_subject(subject_id)
    nobody = desk.run("enroll", "--manifest", first, "--json")
    assert nobody.exit_code == 3
    assert {each["reason"] for each in json.loads(nobody.stdout)["results"]} == {"NO_PHOTO"}
    desk.run("enroll", "--manifest", with_photos(first), "--again")
    assert desk.run("subject", "export", second, "--watchlist", desk.tag).exit_code == 0
    assert second.read_bytes() == first.read_bytes().replace(b"1.jpg", b"").replace(b"2.jpg", b"").replace(
        b"3.jpg", b""
    )
    after = {each.subject_id: each for each in desk.office.list_subjects(watchlist=desk.tag)}
    for subject_id, subject in before.items():
        same = after[subject_id]
        assert (same.valid_from, same.expire_time, same.labels) == (
            *(subject.valid_from, subject.expire_time, subject.labels),
        )


def with_photos(file: Path) -> Path:
    """Name the photos again, as an office does who kept them."""
    text = file.read_text(encoding="utf-8")
    for number in (1, 2, 3):
        text = text.replace(f"-{number},,", f"-{number},{number}.jpg,")
        text = text.replace(f'-{number}", "photo": ""', f'-{number}", "photo": "{number}.jpg"')
    file.write_text(text, encoding="utf-8")
    return file


def test_who_is_there_otherwise_than_a_row_without_photo_says_is_told(desk: Desk) -> None:
    desk.run("enroll", "--manifest", desk.write([desk.row(1, label_name="Ana")]))
    differs = desk.run("enroll", "--manifest", desk.write([desk.row(1, photo="", label_name="Bo")]))
    assert differs.exit_code == 3
    assert outcomes(desk.folder / "people.results.csv") == [("rejected", "SUBJECT_DIFFERS")]
    assert dict(desk.office.get_subject(f"{desk.tag}-1").labels) == {"name": "Ana"}


def test_subjects_are_listed_by_what_is_said_of_them(desk: Desk) -> None:
    rows = [desk.row(1, valid_until="2227-01-31", label_kind="x"), desk.row(2, label_kind="x"), desk.row(3)]
    desk.run("enroll", "--manifest", desk.write(rows))

    def listed(*arguments: str) -> list[str]:
        shown: dict[str, Any] = json.loads(
            desk.run("subject", "list", "--watchlist", desk.tag, "--json", *arguments).stdout
        )
        return [each["subject_id"].rpartition("-")[2] for each in shown["subjects"]]

    assert listed() == ["1", "2", "3"]
    assert listed("--label", "kind=x") == ["1", "2"]
    assert listed("--expires-before", "2227-02-01") == ["1"]
    assert listed("--expires-before", "2227-01-31") == []
    assert listed("--label", "kind=x", "--expires-before", "2227-02-01T00:00+07:00") == ["1"]


def test_who_was_there_already_is_said_to_be_put_on_a_further_list(desk: Desk) -> None:
    other = desk.office.create_watchlist(f"{desk.tag}-more").watchlist.watchlist_id
    assert desk.run("enroll", "--manifest", desk.write([desk.row(1)])).exit_code == 0
    rows = [desk.row(1, photo="1-later.jpg", watchlists=other, on_existing="add")]
    again = desk.run("enroll", "--manifest", desk.write(rows, "more.csv"))
    assert again.exit_code == 0, again.output
    assert f"{desk.tag}-1 was there already, and is now on {other} too" in again.output


def test_lists_that_are_not_there_are_told_together_with_their_rows(desk: Desk) -> None:
    """Before anything is sent, as every other fault of a manifest."""
    rows = [desk.row(1, watchlists=f"{desk.tag};nolist"), desk.row(2), desk.row(3, watchlists="Nolist")]
    refused = desk.run("enroll", "--manifest", desk.write(rows))
    assert refused.exit_code == 2, refused.output
    assert "row 2: watchlists: there is no list 'nolist'" in refused.output
    assert "row 4: watchlists: there is no list 'Nolist'" in refused.output
    assert desk.templates() == {}


def test_verify_names_the_photo_that_is_refused(desk: Desk) -> None:
    """Of the two, whose file's name the officer gave."""
    refused = desk.run("verify", desk.folder / "1.jpg", desk.write([desk.row(1)]), "--json")
    assert refused.exit_code == 3
    assert f"{desk.folder / 'people.csv'}: IMAGE_UNREADABLE" in refused.output
    assert '"reason": "IMAGE_UNREADABLE"' in refused.output
