"""A manifest is taken whole or not at all: every fault is told with its row, before anything is sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cli.photo_files import photos
from gerbang_service.cli.enrolments import Terms
from gerbang_service.cli.manifest.enrolling import Manifest, read_manifest
from gerbang_service.cli.manifest.tables import ManifestError

HEADER = "subject_id,photo,watchlists,valid_from,valid_until,on_existing,label.name\n"
JAKARTA = ZoneInfo("Asia/Jakarta")


def read(folder: Path, content: str | bytes, name: str = "people.csv") -> Manifest:
    photos(folder, "a.jpg", "b.jpg", "deep/c.jpg")
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_manifest(file, JAKARTA, Terms(), None)


def faults(folder: Path, content: str | bytes, name: str = "people.csv") -> tuple[str, ...]:
    with pytest.raises(ManifestError) as refused:
        read(folder, content, name)
    return refused.value.faults


@pytest.mark.parametrize("name", ["people.csv", "people.tsv", "people.jsonl", "excel.csv"])
def test_rows_of_a_subject_are_a_person(tmp_path: Path, name: str) -> None:
    """In whatever way they are written; what a row leaves empty is what the subject's others say."""
    rows = [
        ["P-1", "a.jpg", "cegah; tangkal", "2026-01-01", "2027-01-31", "", 'Ana "A", of B'],
        ["P-2", "deep/c.jpg", "", "", "2027-01-31T12:00:00Z", "replace", ""],
        ["P-1", "b.jpg", "", "", "", "", ""],
    ]
    columns = HEADER.strip().split(",")
    if name.endswith(".jsonl"):
        lines = [{key: cell for key, cell in zip(columns, row, strict=True) if cell} for row in rows]
        lines[0]["watchlists"] = ["tangkal", "cegah"]  # type: ignore[assignment]  # either is right
        content = "".join(json.dumps(each) + "\r\n" for each in lines)
    else:
        between = {"people.csv": ",", "people.tsv": "\t", "excel.csv": ";"}[name]
        quoted = [['"' + cell.replace('"', '""') + '"' for cell in row] for row in rows]
        content = "\ufeff" + "\r\n".join(between.join(row) for row in [columns, *quoted]) + "\r\n"
    one, two = read(tmp_path, content, name).people
    assert (one.subject_id, [each.name for each in one.photos]) == ("P-1", ["a.jpg", "b.jpg"])
    assert one.terms == Terms(
        watchlists=("cegah", "tangkal"),
        valid_from=datetime(2026, 1, 1, tzinfo=JAKARTA),
        expire_time=datetime(2027, 2, 1, tzinfo=JAKARTA),
        labels={"name": 'Ana "A", of B'},
    )
    assert two.photos == (tmp_path / "deep" / "c.jpg",)
    assert two.terms == Terms(expire_time=datetime(2027, 1, 31, 12, tzinfo=UTC), on_existing="replace")


def test_what_dates_were_taken_for_is_said(tmp_path: Path) -> None:
    notes = read(tmp_path, HEADER + "P-1,a.jpg,,,2027-01-31,,\nP-2,b.jpg,,,2020-01-31,,\n").notes
    assert notes == (
        "valid_until 2027-01-31: the end of that day in Asia/Jakarta, 2027-02-01T00:00:00+07:00; 1 more likewise",
        "valid_until is in the past in row 3: Identify does not find them",
    )


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (",a.jpg,,,,,", "row 2: subject_id: is empty"),
        ("Ana B,a.jpg,,,,,", "row 2: subject_id: 'Ana B' is no id"),
        ("P-1,none.jpg,,,,,", "row 2: photo: there is no 'none.jpg' in "),
        ("P-1,deep\\c.jpg,,,,,", "write / for \\"),
        ("P-1,deep,,,,,", "row 2: photo: 'deep' is no file"),
        ("P-1,../a.jpg,,,,,", "row 2: photo: '../a.jpg' is not in the manifest's folder"),
        ("P-1,/etc/hosts,,,,,", "row 2: photo: '/etc/hosts' is not in the manifest's folder"),
        ("P-1,link.jpg,,,,,", "row 2: photo: 'link.jpg' is not in the manifest's folder"),
        ("P-1,a.jpg,ce gah,,,,", "row 2: watchlists: 'ce gah' is no id of a list"),
        ("P-1,a.jpg,,31/01/2027,,,", "row 2: valid_from: '31/01/2027' is not a date such as 2027-01-31"),
        ("P-1,a.jpg,,2027-02-01,2027-01-31,,", "row 2: valid_until is not after valid_from"),
        ("P-1,a.jpg,,,2027-01-31T10:00,,", "row 2: valid_until: '2027-01-31T10:00' does not say in which zone"),
        ("P-1,a.jpg,,,,maybe,", "row 2: on_existing: 'maybe' is none of reject, add, replace"),
        ("P-1,a.jpg,,,,," + "x" * 257, "row 2: labels: labels: a label has at most 256 characters"),
        ("P-1,a.jpg,,,,,x,more", "row 2: has 8 cells, and the header 7"),
        ('P-1,a.jpg,,,,,"x"y', "row 2 (line 2): "),
        ('P-1,a.jpg,,,,,"x', "row 2 (line 2): unexpected end of data"),
        ("P-1,a.jpg,,,,,\nP-1,a.jpg,,,,,", "rows 2, 3: P-1 is there twice with a.jpg"),
        ("P-1,,,,,,\nP-1,,,,,,", "rows 2, 3: P-1 is there twice with no photo"),
        ("P-1,a.jpg,v,,,,\nP-1,b.jpg,w,,,,", "P-1: rows 2 and 3 have different watchlists"),
        ("P-1,a.jpg,,,,,x\nP-1,b.jpg,,,,,y", "P-1: rows 2 and 3 have different label.name"),
        ("P-1,a.jpg,,,,add,\nP-1,b.jpg,,,,reject,", "P-1: rows 2 and 3 have different on_existing"),
        ("", "has no rows"),
    ],
)
def test_faults_are_told_with_their_rows(tmp_path: Path, row: str, fault: str) -> None:
    (tmp_path / "link.jpg").symlink_to("/etc/hosts")
    (found,) = faults(tmp_path, HEADER + row + "\n")
    assert fault in found


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    assert len(faults(tmp_path, HEADER + ",none.jpg,x y,,,,\n" * 30)) == 90


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"subject_id,photo,list\nP-1,a.jpg,v\n", "unknown column 'list': there are subject_id, photo, "),
        (b"photo\na.jpg\n", "has no column subject_id"),
        (b"subject_id,label.\nP-1,x\n", "unknown column 'label.'"),
        (b"subject_id,photo,photo\nP-1,a.jpg,a.jpg\n", "column 'photo' is there twice"),
        (b"", "has no column subject_id"),
        ("subject_id\nP-1".encode("utf-16"), "is UTF-16: save it as CSV UTF-8"),
        ("subject_id,label.name\nP-1,Ana\nP-2,Müller\n".encode("latin-1"), "line 3: is not UTF-8"),
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: bytes, fault: str) -> None:
    (found,) = faults(tmp_path, content)
    assert fault in found


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("[1]", "line 2: is not a JSON object"),
        ('{"subject_id": 7}', "line 2: subject_id is not a text in quotes"),
        ('{"subject_id": "P-1", "subject_id": "P-2"}', "line 2: a name is there twice"),
        ('{"subject_id": "P-1", "label.name": "\\ud800"}', "line 2: "),
        ("{", "line 2: is not a JSON object"),
        ('{"subject_id": "P-1", "list": "v"}', "unknown column 'list'"),
    ],
)
def test_faults_of_json_lines_are_told_with_their_lines(tmp_path: Path, line: str, fault: str) -> None:
    (found,) = faults(tmp_path, '{"subject_id": "P-0"}\n' + line + "\n", "people.jsonl")
    assert fault in found


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    assert faults(tmp_path, HEADER, "people.xlsx") == ("its name must end with .csv, or with .jsonl for JSON Lines",)


def test_both_spellings_of_a_photo_s_name_are_found(tmp_path: Path) -> None:
    """A Mac writes the file's name in one, a spreadsheet in the other."""
    photos(tmp_path, "Jose\u0301.jpg")
    (person,) = read(tmp_path, "subject_id,photo\nP-1,Jos\u00e9.jpg\n").people
    assert person.photos[0].exists()
