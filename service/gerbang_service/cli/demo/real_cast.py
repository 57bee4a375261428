"""A cast of real people from a folder of photographs with a folder for each person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from gerbang import FaceRejected, GateClient, ImageRejected, WatchlistClient
from gerbang_service.cli.demo.cast import ONE_PHOTO, TWO_PHOTOS, Cast, Player
from gerbang_service.cli.photos import Person, find_people

_CASTING = "S-0"  # nobody's id in the story

_Check: TypeAlias = Callable[[bytes], None]
"""Lets the server look at a photo; raises FaceRejected or ImageRejected when it is not usable."""


class TooFewPeopleError(Exception):
    """The folder has not enough people with usable photos for the story."""


def real_cast(folder: Path, office: WatchlistClient, gate: GateClient, say: Callable[[str], None]) -> Cast:
    """Cast people by name: those with two usable photos or more for parts that need two, others as strangers.

    Whether a photo is usable is asked of the server: enrolment has stricter limits than a gate, so photos on file are
    enrolled for a moment, under an id that is deleted again. `say` is told of every photo that is not usable. No two
    photos are compared here, so that the story is a test of the recogniser and not of this choice.

    Raises photos.UnclearPhotosError for a folder without photos, TooFewPeopleError for one with too few people,
    gerbang.GerbangError when the server can't answer.
    """

    def enrols(photo: bytes) -> None:
        office.enroll(_CASTING, [photo], on_existing="replace")
        office.delete_subject(_CASTING)

    def sees(photo: bytes) -> None:
        gate.extract(photo)

    people = find_people(folder).people
    several = _with_two([person for person in people if len(person.photos) > 1], enrols, sees, say)
    strangers = _with_one([person for person in people if len(person.photos) == 1], sees, say)
    try:
        cast = {part: next(several) for part in TWO_PHOTOS}
        # Where everybody has several photos, those without a part so far are strangers as well.
        return cast | {part: _stranger(next(strangers, None) or next(several)) for part in ONE_PHOTO}
    except StopIteration:
        raise TooFewPeopleError(
            f"{folder} has too few people with usable photos: {len(TWO_PHOTOS)} with two and {len(ONE_PHOTO)} more"
            " are needed"
        ) from None


def _with_two(people: Iterable[Person], enrols: _Check, sees: _Check, say: Callable[[str], None]) -> Iterator[Player]:
    for person in people:
        on_file: bytes | None = None
        for photo in person.photos:
            content = _usable(photo, enrols if on_file is None else sees, say)
            if content is not None and on_file is not None:
                yield Player(person.subject_id, live=content, on_file=on_file)
                break
            on_file = on_file or content


def _with_one(people: Iterable[Person], sees: _Check, say: Callable[[str], None]) -> Iterator[Player]:
    for person in people:
        content = _usable(person.photos[0], sees, say)
        if content is not None:
            yield Player(person.subject_id, live=content)


def _stranger(player: Player) -> Player:
    return Player(player.name, player.live)


def _usable(photo: Path, check: _Check, say: Callable[[str], None]) -> bytes | None:
    content = photo.read_bytes()
    try:
        check(content)
    except (FaceRejected, ImageRejected) as error:
        say(f"{photo.name} is passed over: {error}")
        return None
    return content
