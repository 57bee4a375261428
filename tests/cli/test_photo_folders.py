"""Whose photos a file or folder holds, and under which ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.photo_files import photos
from gerbang_service.cli.photos import Found, UnclearPhotosError, find_people


def ids(found: Found) -> dict[str, list[str]]:
    return {person.subject_id: [photo.name for photo in person.photos] for person in found.people}


def test_a_photo_alone_does_not_say_whose_it_is(tmp_path: Path) -> None:
    """Cameras give the same names to everybody's photos."""
    photos(tmp_path, "IMG_0001.jpg")
    assert ids(find_people(tmp_path / "IMG_0001.jpg", subject_id="S-1")) == {"S-1": ["IMG_0001.jpg"]}
    with pytest.raises(UnclearPhotosError, match="say with --subject whose it is"):
        find_people(tmp_path / "IMG_0001.jpg")


def test_folder_of_one_person(tmp_path: Path) -> None:
    """A folder of photos is one person: every file in it but hidden ones, and the limit takes the first by name."""
    photos(tmp_path / "Bo", "2.JPG", "1.png", "3.jp2", "notes.txt", ".4.jpg", "Thumbs.db")
    found = find_people(tmp_path / "Bo")
    assert ids(found) == {"Bo": ["1.png", "2.JPG", "3.jp2", "notes.txt"]}
    assert (found.skipped, found.hidden) == ((), 2)
    assert ids(find_people(tmp_path / "Bo", limit=2)) == {"Bo": ["1.png", "2.JPG"]}
    assert list(ids(find_people(tmp_path / "Bo", subject_id="S-1"))) == ["S-1"]


def test_folder_of_people(tmp_path: Path) -> None:
    """A folder of folders is a person each, also without a photo; what is nobody's is told, not dropped silently."""
    photos(tmp_path, "Bo/1.jpg", "Bo/2", "Bo/deeper/3.jpg", "odd/x.heic", ".git/4.jpg", "list.csv", "Bo/.DS_Store")
    (tmp_path / "nobody").mkdir()
    found = find_people(tmp_path)
    assert ids(found) == {"Bo": ["1.jpg", "2"], "nobody": [], "odd": ["x.heic"]}
    assert {path.name for path in found.skipped} == {"deeper", "list.csv"}
    assert found.hidden == 2


def test_a_picture_is_known_by_its_content(tmp_path: Path) -> None:
    """Whatever its name: beside folders it is unclear whose it is, alone it is a person's."""
    for number, beginning in enumerate((b"\xff\xd8\xff\xe0", b"\x89PNG\r\n", b"\0\0\0\x18ftypheic", b"II*\0")):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        (folder / "scan").write_bytes(beginning + bytes(20))
        assert ids(find_people(folder)) == {f"{number}": ["scan"]}
        (folder / "Bo").mkdir()
        with pytest.raises(UnclearPhotosError, match=r"holds photos .* and folders"):
            find_people(folder)


def test_names_that_are_no_ids_are_told_apart(tmp_path: Path) -> None:
    """What was `__` for both, and for everybody else of two letters."""
    photos(tmp_path, "王伟/1.jpg", "李娜/1.jpg", "Müller A/1.jpg", "Müller_A/1.jpg", "Bo/1.jpg")
    found = find_people(tmp_path)
    assert len(ids(found)) == 5
    assert {person.name for person in found.people} == {"王伟", "李娜", "Müller A", "Müller_A", ""}


@pytest.mark.parametrize(
    ("names", "subject_id", "why"),
    [
        (["a/1.jpg", "1.jpg"], None, "holds photos .* and folders"),
        (["Jose\u0301/1.jpg", "Jos\u00e9/1.jpg"], None, "would both be the subject Jose:made-"),
        (["a/1.jpg"], "S-1", "names one person"),
        (["a/.x"], None, "none of the folders holds a photo"),
        (["x.txt"], None, "holds no photos"),
    ],
)
def test_unclear_photos(tmp_path: Path, names: list[str], subject_id: str | None, why: str) -> None:
    """Where it is not clear whose photos these are, nothing is guessed."""
    with pytest.raises(UnclearPhotosError, match=why):
        find_people(photos(tmp_path, *names), subject_id=subject_id)
