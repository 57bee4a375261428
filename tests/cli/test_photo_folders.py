"""Whose photos a file or folder holds, and under which ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.photo_files import photos
from gerbang_service.cli.photos import Found, UnclearPhotosError, find_people, id_of


def ids(found: Found) -> dict[str, list[str]]:
    return {person.subject_id: [photo.name for photo in person.photos] for person in found.people}


def test_a_photo_alone(tmp_path: Path) -> None:
    """A file is one person, named as told or after the file, whatever its suffix."""
    photos(tmp_path, "Ana B.data")
    assert ids(find_people(tmp_path / "Ana B.data")) == {"Ana_B": ["Ana B.data"]}
    assert list(ids(find_people(tmp_path / "Ana B.data", subject_id="S-1"))) == ["S-1"]
    assert id_of("Müller, A/b:c.d-e" + "x" * 300) == "M_ller__A_b:c.d-e" + "x" * 111


def test_folder_of_one_person(tmp_path: Path) -> None:
    """A folder of photos is one person; other and hidden files are no photos, and the limit takes the first by name."""
    photos(tmp_path / "Bo", "2.JPG", "1.png", "3.jp2", "notes.txt", ".4.jpg")
    found = find_people(tmp_path / "Bo", limit=2)
    assert ids(found) == {"Bo": ["1.png", "2.JPG"]}
    assert [path.name for path in found.skipped] == ["notes.txt"]


def test_folder_of_people(tmp_path: Path) -> None:
    """A folder of folders is a person each; what holds no photo is told, not dropped silently."""
    photos(tmp_path, "José P/1.jpg", "Bo/1.jpg", "Bo/2.jpg", "Bo/deeper/3.jpg", "empty/x.txt", ".git/4.jpg")
    found = find_people(tmp_path)
    assert ids(found) == {"Bo": ["1.jpg", "2.jpg"], "Jos__P": ["1.jpg"]}
    assert {path.name for path in found.skipped} == {"deeper", "empty", "x.txt"}


@pytest.mark.parametrize(
    ("names", "subject_id", "why"),
    [
        (["a/1.jpg", "1.jpg"], None, "holds photos and folders"),
        (["José/1.jpg", "Jos_/1.jpg"], None, "would both be the subject Jos_"),
        (["a/1.jpg", "b/1.jpg"], "S-1", "names one person"),
        (["a/x.txt"], None, "holds no photos"),
        (["x.txt"], None, "holds no photos"),
    ],
)
def test_unclear_photos(tmp_path: Path, names: list[str], subject_id: str | None, why: str) -> None:
    """Where it is not clear whose photos these are, nothing is guessed."""
    with pytest.raises(UnclearPhotosError, match=why):
        find_people(photos(tmp_path, *names), subject_id=subject_id)
