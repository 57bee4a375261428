"""A cast of real people from a folder of photographs with a folder for each person."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gerbang import FaceRejected, GateClient, ImageRejected

from gerbang_service.cli.demo.cast import ONE_PHOTO, TWO_PHOTOS, Cast, Player
from gerbang_service.cli.photos import Person, find_people


class TooFewPeopleError(Exception):
    """The folder has not enough people with usable photos for the story."""


def real_cast(folder: Path, gate: GateClient, say: Callable[[str], None]) -> Cast:
    """Cast people by name: those with two usable photos or more for parts that need two, others as strangers.

    Whether a photo is usable is asked of the server (Extract); `say` is told of every photo that is not. No two
    photos are ever compared here, so that the story is a test of the recogniser and not of this choice.

    Raises photos.UnclearPhotosError for a folder without photos, TooFewPeopleError for one with too few people,
    gerbang.GerbangError when the server can't answer.
    """
    people = find_people(folder).people
    several = _with_two([person for person in people if len(person.photos) > 1], gate, say)
    strangers = _with_one([person for person in people if len(person.photos) == 1], gate, say)
    try:
        cast = {part: next(several) for part in TWO_PHOTOS}
        # Where everybody has several photos, those without a part so far are strangers as well.
        return cast | {part: _stranger(next(strangers, None) or next(several)) for part in ONE_PHOTO}
    except StopIteration:
        raise TooFewPeopleError(
            f"{folder} has too few people with usable photos: {len(TWO_PHOTOS)} with two and {len(ONE_PHOTO)} more"
            " are needed"
        ) from None


def _with_two(people: Iterable[Person], gate: GateClient, say: Callable[[str], None]) -> Iterator[Player]:
    for person in people:
        on_file: bytes | None = None
        for photo in person.photos:
            # What is enrolled must show one person only; a gate takes the nearest of several.
            content = _usable(photo, gate, "only" if on_file is None else "largest", say)
            if content is not None and on_file is not None:
                yield Player(person.subject_id, live=content, on_file=on_file)
                break
            on_file = on_file or content


def _with_one(people: Iterable[Person], gate: GateClient, say: Callable[[str], None]) -> Iterator[Player]:
    for person in people:
        content = _usable(person.photos[0], gate, "largest", say)
        if content is not None:
            yield Player(person.subject_id, live=content)


def _stranger(player: Player) -> Player:
    return Player(player.name, player.live)


def _usable(photo: Path, gate: GateClient, face_choice: str, say: Callable[[str], None]) -> bytes | None:
    content = photo.read_bytes()
    try:
        gate.extract(content, face_choice=face_choice)
    except (FaceRejected, ImageRejected) as error:
        say(f"{photo.name} is passed over: {error}")
        return None
    return content
