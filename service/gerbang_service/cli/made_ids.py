"""Ids made of names that are no ids: readable, the same in every run, and another for every other name."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final

from gerbang_service.domain.errors import FieldInvalid
from gerbang_service.domain.identifiers import MAX_LABEL_CHARACTERS, check_id

NAME_LABEL: Final = "name"
"""Key of the label that keeps the name of which an id was made."""

_DIGEST: Final = 16  # hexadecimal digits: among a million names, two have the same by a chance of 1 in 10 million
_READABLE: Final = 60  # characters
_NOT_READABLE: Final = re.compile(r"[^A-Za-z0-9]+")

# As passports write them in Latin letters (ICAO Doc 9303, part 3, section 6), where Unicode does not take them apart.
_WRITTEN: Final = (
    "ß=ss ẞ=ss æ=ae œ=oe ø=oe ł=l đ=d ð=d þ=th ı=i а=a б=b в=v г=g д=d е=e ё=e ж=zh з=z и=i й=i к=k л=l м=m н=n "  # noqa: RUF001
    "о=o п=p р=r с=s т=t у=u ф=f х=kh ц=ts ч=ch ш=sh щ=shch ъ=ie ы=y ь= э=e ю=iu я=ia і=i ї=i є=ie ґ=g ў=u ј=j "  # noqa: RUF001
    "љ=lj њ=nj ђ=d ћ=c џ=dz"
)
_LETTERS: Final = dict(pair.split("=") for pair in _WRITTEN.split())
_BY_SOUND: Final = re.compile(r"(?:HANGUL SYLLABLE|(?:HIRAGANA|KATAKANA) LETTER(?: SMALL)?) ([A-Z]+)")


def is_id(text: str) -> bool:
    """Tell whether the server takes `text` as an id."""
    try:
        check_id("", text)
    except FieldInvalid:
        return False
    return True


def subject_id_of(name: str) -> str:
    """Return the id of a person whose folder has this name: the name where it is an id, else one that is made of it.

    `Müller, Anna` becomes `Muller-Anna:made-` and 16 hexadecimal digits of the name's SHA-256. The digits tell names
    apart that read alike. One name in both of Unicode's spellings (NFC, NFD) is one id. What an id is made of never
    changes, neither here nor in Unicode: another release makes the same.
    """
    if is_id(name):
        return name
    digest = hashlib.sha256(_bytes(name)).hexdigest()[:_DIGEST]
    readable = _NOT_READABLE.sub("-", "".join(map(_latin, composed(name))))[:_READABLE].strip("-")
    return f"{readable}:made-{digest}" if readable else f"made-{digest}"


def name_label(name: str) -> str:
    """Return a name as the text of a label: composed (NFC), and no longer than a label may be."""
    return _bytes(name).decode("utf-8", "backslashreplace")[:MAX_LABEL_CHARACTERS]


def composed(name: str) -> str:
    """Return the one spelling of a name that Macs, which take letters apart, and others have in common (NFC)."""
    return unicodedata.normalize("NFC", name)


def _bytes(name: str) -> bytes:
    # A file's name may hold what is no text.
    return composed(name).encode("utf-8", "surrogatepass")


def _latin(letter: str) -> str:
    if letter.isascii():
        return letter
    if (known := _LETTERS.get(letter.lower())) is not None:
        return known if letter.islower() else known.capitalize()
    if sound := _BY_SOUND.match(unicodedata.name(letter, "")):
        return sound[1].lower()
    plain = "".join(each for each in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(each))
    return plain if plain.isascii() else "".join(_LETTERS.get(each, "-") for each in plain)
