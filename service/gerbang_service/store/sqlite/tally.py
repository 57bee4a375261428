"""Which rows there are: for each table of sealed rows their number, and a secret sum of their tags.

What is sealed for a row shows when the row was changed, and not when it was deleted, or put back as it was earlier. A
valid row is told from every other, and from itself at another time, by the tag (16 bytes) that AES-GCM ends its sealed
value with: nobody makes one without the key. The tags of all rows, each enciphered with a key of its own purpose, are
added without carry (XOR), so that a change costs what it changes. That is a set hash as Clarke and others describe
(Incremental Multiset Hash Functions, Asiacrypt 2003); it is kept encrypted, since who saw it could look for other rows
of the same sum, and sealed with the revision. In a folder in the clear there is none.
"""

from __future__ import annotations

import struct
from binascii import a2b_base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

from gerbang_service.domain.errors import DataDamaged
from gerbang_service.store.sealing.cipher import AnyCipher, Cipher, place
from gerbang_service.store.sqlite.connection import Connection

TALLY: Final = "tally"
"""In table meta: the tally, encrypted."""
# Which column of a row is sealed for it, of each table.
# In the order in which they came: a tally that was kept before the last one has none of its rows.
SEALED: Final = {
    "subjects": "labels",
    "watchlists": "labels",
    "templates": "vector",
    "tokens": "seal",
    "proposals": "content",
}

_TAG_BYTES = 16
TAG_CHARACTERS: Final = 24
"""Of base64: a multiple of four characters that holds the tag, whatever the length of what is before it."""
_PLACE = place("meta.tally")
_PURPOSE = b"which rows there are"
_PART = struct.Struct("<Q16s")
_BATCH = 4096


class TableTally:
    """The tally of one table."""

    def __init__(self, encipher: Callable[[bytes], bytes]) -> None:
        """Make one of no rows. `encipher`: each 16 bytes by themselves, see `_enciphering`."""
        self.count, self.total = 0, 0
        self._encipher = encipher

    def add(self, sealed: Sequence[Any]) -> None:
        """Count rows, given what is sealed for each: bytes, or text. Raises DataDamaged for what is neither."""
        self._toggle(sealed)
        self.count += len(sealed)

    def remove(self, sealed: Sequence[Any]) -> None:
        """Count rows no more."""
        self._toggle(sealed)
        self.count -= len(sealed)

    def _toggle(self, sealed: Sequence[Any]) -> None:
        blocks = self._encipher(b"".join([_tag(each) for each in sealed]))
        words = np.bitwise_xor.reduce(np.frombuffer(blocks, "<u8").reshape(-1, 2), axis=0)
        self.total ^= int.from_bytes(words.tobytes(), "little")


def _enciphering(cipher: Cipher) -> Callable[[bytes], bytes]:
    # Of single blocks that never repeat but for the same row; what comes of it is never shown.
    return BlockCipher(AES256(cipher.derive(_PURPOSE)), ECB()).encryptor().update  # noqa: S305


def _tag(sealed: Any) -> bytes:  # noqa: ANN401 - whatever a damaged row holds
    try:
        tag = a2b_base64(sealed[-TAG_CHARACTERS:])[-_TAG_BYTES:] if isinstance(sealed, str) else sealed[-_TAG_BYTES:]
        return tag if len(tag) == _TAG_BYTES else _not_sealed()
    except (TypeError, ValueError):
        return _not_sealed()


def _not_sealed() -> bytes:
    raise DataDamaged("a row is not sealed: damaged or tampered with")


class Tally:
    """The tallies of all tables of sealed rows. Belongs to one thread."""

    def __init__(self, cipher: Cipher) -> None:
        """Make one of no rows."""
        self._cipher = cipher
        encipher = _enciphering(cipher)
        self.tables = {table: TableTally(encipher) for table in SEALED}

    def pack(self) -> bytes:
        """Return it in the form in which it is kept."""
        parts = (_PART.pack(each.count, each.total.to_bytes(_TAG_BYTES, "little")) for each in self.tables.values())
        return self._cipher.seal(b"".join(parts), _PLACE)

    @classmethod
    def unpack(cls, cipher: Cipher, kept: Any) -> Tally:  # noqa: ANN401 - whatever a damaged row holds
        """Return what `pack` was called of. Raises DataDamaged."""
        tally, parts = cls(cipher), cipher.open(kept, _PLACE)
        for each, (count, total) in zip(tally.tables.values(), _PART.iter_unpack(parts), strict=False):
            each.count, each.total = count, int.from_bytes(total, "little")
        return tally


class Counting:
    """The rows of one table, counted while they are read, to be compared with the tally. Nothing without a key."""

    def __init__(self, connection: Connection, table: str) -> None:
        """Begin. `connection`: with the cipher of the database, in a transaction."""
        cipher = connection.cipher
        self._table = table
        self._due = read_tally(connection).tables[table] if isinstance(cipher, Cipher) else None
        self._found = TableTally(_enciphering(cipher)) if isinstance(cipher, Cipher) else None

    def expect(self, added: Sequence[Any], removed: Sequence[Any]) -> None:
        """Count what a transaction has put in, and taken out, of which the tally does not know yet."""
        if self._due is not None:
            for count, sealed in ((self._due.add, added), (self._due.remove, removed)):
                if sealed:
                    count(sealed)

    def add(self, sealed: Sequence[Any]) -> None:
        """Count rows that were opened, given what is sealed for each."""
        if self._found is not None and sealed:
            self._found.add(sealed)

    def check(self) -> None:
        """Raise DataDamaged when the rows are not those that were sealed, after all were counted."""
        if self._due is None or self._found is None:
            return
        if self._found.count != self._due.count:
            how = f"rows were {'deleted' if self._found.count < self._due.count else 'put in'}"
            raise DataDamaged(f"table {self._table}: {self._found.count} rows, and {self._due.count} are due: {how}")
        if self._found.total != self._due.total:
            raise DataDamaged(f"table {self._table}: a row is not the one that is due, but an earlier or another one")


def read_tally(connection: Connection) -> Tally:
    """Return the tally of an encrypted database. Raises DataDamaged."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (TALLY,)).fetchone()
    return Tally.unpack(_keyed(connection.cipher), row[0] if row else b"")


def write_tally(connection: Connection, tally: Tally) -> None:
    """Keep a tally, in the transaction that is open; table meta has to be sealed anew after it."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (TALLY, tally.pack()))


def count_rows(connection: Connection) -> Tally:
    """Return the tally of the rows that there are, all sealed with the connection's cipher."""
    tally = Tally(_keyed(connection.cipher))
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    for table, column in ((table, column) for table, column in SEALED.items() if table in there):
        for sealed in _batches(connection.execute(f"SELECT {column} FROM {table}")):  # noqa: S608 - constant names
            tally.tables[table].add(sealed)
    return tally


def _batches(rows: Any) -> Iterator[list[Any]]:  # noqa: ANN401 - a cursor
    while batch := rows.fetchmany(_BATCH):
        yield [sealed for (sealed,) in batch]


def _keyed(cipher: AnyCipher) -> Cipher:
    assert isinstance(cipher, Cipher)  # noqa: S101 - asked of encrypted databases only
    return cipher


class Turnover:
    """What a transaction adds to the rows and takes from them; what an operation did of it can be undone."""

    def __init__(self) -> None:
        self._added: dict[str, list[Any]] = {table: [] for table in SEALED}
        self._removed: dict[str, list[Any]] = {table: [] for table in SEALED}

    def add(self, table: str, sealed: Iterable[Any]) -> None:
        """Note rows that are put in."""
        self._added[table].extend(sealed)

    def remove(self, table: str, sealed: Iterable[Any]) -> None:
        """Note rows that are taken out."""
        self._removed[table].extend(sealed)

    def of(self, table: str) -> tuple[Sequence[Any], Sequence[Any]]:
        """Return what was put into a table, and what was taken out."""
        return self._added[table], self._removed[table]

    def mark(self) -> tuple[int, ...]:
        """Return how far it goes."""
        return tuple(len(each) for part in (self._added, self._removed) for each in part.values())

    def forget_since(self, mark: tuple[int, ...]) -> None:
        """Go back to a mark."""
        kept = (each for part in (self._added, self._removed) for each in part.values())
        for each, length in zip(kept, mark, strict=True):
            del each[length:]

    def settle(self, connection: Connection) -> None:
        """Bring the tally up to what the transaction has done; nothing in the clear. Raises DataDamaged."""
        if not connection.cipher.encrypts or not any(self.mark()):
            return
        tally = read_tally(connection)
        for table, each in tally.tables.items():
            if self._added[table]:
                each.add(self._added[table])
            if self._removed[table]:
                each.remove(self._removed[table])
        write_tally(connection, tally)
