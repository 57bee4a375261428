"""Which photos are enrolled as whom: from a path on the command line to people with their photos."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gerbang_service.cli.made_ids import composed, is_id, subject_id_of

# By its name or by its first bytes a file is known as a picture, of whatever kind: whether it can be read the server
# tells. The last is of HEIC and AVIF, whose bytes before say how long they are.
_SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"}
    | {".heic", ".heif", ".avif", ".tif", ".tiff", ".gif"}
)
_BEGINNINGS: Final = (
    *(b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"BM", b"GIF8", b"II*\0", b"MM\0*"),
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
)
_BOX_TYPE: Final = b"ftyp"
_OF_SYSTEMS: Final = frozenset({"thumbs.db", "desktop.ini"})


class UnclearPhotosError(ValueError):
    """It is not clear whose photos these are; the message says why. Nothing may be sent then."""


@dataclass(frozen=True, slots=True)
class Person:
    """One person to enrol: the id to be enrolled as, and the photos in order of their names.

    `name`: of which the id was made; empty where the id is the name.
    """

    subject_id: str
    photos: tuple[Path, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a path holds: the people, the files and folders that are nobody's, and how many hidden ones were left out.

    Hidden: names that begin with a dot, and what operating systems leave in folders of pictures (Thumbs.db).
    """

    people: tuple[Person, ...]
    skipped: tuple[Path, ...] = ()
    hidden: int = 0

    @property
    def photo_count(self) -> int:
        """Photos of all people."""
        return sum(len(person.photos) for person in self.people)


def find_people(path: Path, *, subject_id: str | None = None, limit: int | None = None) -> Found:
    """Find the people in `path`: a photo, a folder of photos of one person, or a folder with a folder for each.

    A person's id is `subject_id`, else that of the folder's name (see made_ids). A photo alone has no name that could
    tell whose it is: it needs `subject_id`. Every file in a person's folder counts as a photo, whatever its name, and
    somebody whose folder is empty is found too: the server says what it can't read, and nobody is passed over. At most
    `limit` photos a person are taken, the first by name.

    Raises UnclearPhotosError when there are no photos, photos beside folders, two folders with the same id, a photo
    alone without `subject_id`, or a `subject_id` for several people; OSError when a folder can't be read.
    """
    if path.is_file():
        if subject_id is None:
            raise UnclearPhotosError(f"{path} is a photo alone: say with --subject whose it is")
        return Found((Person(subject_id, (path,)),))
    files, folders, hidden = _sorted_out(path)
    pictures = [each for each in files if _is_picture(each)]
    if not folders:
        if not pictures:
            raise UnclearPhotosError(f"{path} holds no photos")
        return Found((_person(path.resolve(), files[:limit], subject_id),), hidden=hidden)
    if pictures:
        raise UnclearPhotosError(
            f"{path} holds photos ({pictures[0].name!r}, ...) and folders ({folders[0].name!r}, ...): are they of one "
            "person or of several? Put each person's photos in a folder of their own"
        )
    if subject_id:
        raise UnclearPhotosError(f"--subject names one person, and {path} holds {len(folders)} folders, one a person")
    return _in_folders(folders, files, hidden, limit)


def _in_folders(folders: Iterable[Path], beside: Iterable[Path], hidden: int, limit: int | None) -> Found:
    people: list[Person] = []
    skipped = list(beside)
    for folder in folders:
        own, nested, more = _sorted_out(folder)
        skipped += nested
        hidden += more
        people.append(_person(folder, own[:limit]))
    _refuse_collisions(people)
    if not any(person.photos for person in people):
        raise UnclearPhotosError("none of the folders holds a photo")
    return Found(tuple(people), tuple(skipped), hidden)


def _person(folder: Path, photos: Iterable[Path], subject_id: str | None = None) -> Person:
    if subject_id is not None:
        return Person(subject_id, tuple(photos))
    name = folder.name
    return Person(subject_id_of(name), tuple(photos), "" if is_id(name) else composed(name))


def _sorted_out(folder: Path) -> tuple[list[Path], list[Path], int]:
    """Return the files and the folders in a folder, each by name, and how many hidden ones were left out."""
    files: list[Path] = []
    folders: list[Path] = []
    hidden = 0
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.lower() in _OF_SYSTEMS:
            hidden += 1
        else:
            (folders if path.is_dir() else files).append(path)
    return files, folders, hidden


def _is_picture(path: Path) -> bool:
    if path.suffix.lower() in _SUFFIXES:
        return True
    if not path.is_file():  # a pipe would be waited for
        return False
    with path.open("rb") as file:
        beginning = file.read(12)
    return beginning.startswith(_BEGINNINGS) or beginning[4:8] == _BOX_TYPE


def _refuse_collisions(people: Iterable[Person]) -> None:
    of_id: dict[str, list[Person]] = defaultdict(list)
    for person in people:
        of_id[person.subject_id].append(person)
    for subject_id, same in of_id.items():
        if len(same) > 1:
            names = ", ".join(repr(each.name or subject_id) for each in same)
            raise UnclearPhotosError(f"the folders {names} would both be the subject {subject_id}")
