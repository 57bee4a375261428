"""Which photos are enrolled as whom: from a path on the command line to people with their photos."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PHOTO_SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"}
)
_NOT_IN_AN_ID: Final = re.compile(r"[^A-Za-z0-9._:-]")
_LONGEST_ID: Final = 128


class UnclearPhotosError(ValueError):
    """It is not clear whose photos these are; the message says why. Nothing may be sent then."""


@dataclass(frozen=True, slots=True)
class Person:
    """One person to enrol: the id to be enrolled as, and the photos in order of their names."""

    subject_id: str
    photos: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What a path holds: the people, and the paths that are neither a photo nor a folder of photos."""

    people: tuple[Person, ...]
    skipped: tuple[Path, ...] = ()

    @property
    def photo_count(self) -> int:
        """Photos of all people."""
        return sum(len(person.photos) for person in self.people)


def find_people(path: Path, *, subject_id: str | None = None, limit: int | None = None) -> Found:
    """Find the people in `path`: a photo, a folder of photos of one person, or a folder with a folder for each.

    A person's id is `subject_id`, else the name of the folder (of a photo alone: of the file without its suffix) made
    into an id. At most `limit` photos a person are taken, the first by name. Hidden files are passed over.

    Raises UnclearPhotosError when there are no photos, photos beside folders, two folders with the same id, or a
    `subject_id` for several people; OSError when a folder can't be read.
    """
    if path.is_file():
        return Found((Person(subject_id or id_of(path.stem), (path,)),))
    photos, folders, skipped = _sorted_out(path)
    if photos and folders:
        raise UnclearPhotosError(
            f"{path} holds photos and folders: of one person ({photos[0].name}) or of several ({folders[0].name})?"
        )
    if folders and subject_id:
        raise UnclearPhotosError(f"--subject names one person, and {path} holds {len(folders)} folders, one a person")
    people: list[Person] = []
    if photos:
        people.append(Person(subject_id or id_of(path.resolve().name), tuple(photos[:limit])))
    for folder in folders:
        own, nested, others = _sorted_out(folder)
        skipped += [*nested, *others]
        if own:
            people.append(Person(id_of(folder.name), tuple(own[:limit])))
        else:
            skipped.append(folder)
    if not people:
        raise UnclearPhotosError(f"{path} holds no photos ({', '.join(sorted(PHOTO_SUFFIXES))})")
    _refuse_collisions(folders)
    return Found(tuple(people), tuple(skipped))


def id_of(name: str) -> str:
    """Make an id of a folder's name: other characters than `[A-Za-z0-9._:-]` become `_`, 128 at most are kept."""
    return _NOT_IN_AN_ID.sub("_", name)[:_LONGEST_ID]


def is_id(text: str) -> bool:
    """Tell whether the server takes `text` as an id."""
    return bool(text) and id_of(text) == text


def _sorted_out(folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Return the photos, the folders and the other files in a folder, each by name; hidden ones left out."""
    photos: list[Path] = []
    folders: list[Path] = []
    others: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            folders.append(path)
        else:
            (photos if path.suffix.lower() in PHOTO_SUFFIXES else others).append(path)
    return photos, folders, others


def _refuse_collisions(folders: Iterable[Path]) -> None:
    names: dict[str, list[str]] = defaultdict(list)
    for folder in folders:
        names[id_of(folder.name)].append(folder.name)
    for subject_id, same in names.items():
        if len(same) > 1:
            raise UnclearPhotosError(f"the folders {', '.join(map(repr, same))} would both be the subject {subject_id}")
