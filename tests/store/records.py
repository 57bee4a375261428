"""Where in a database file the headers of its records are, which say of what type and length each value is.

As https://www.sqlite.org/fileformat2.html has it, sections 1.6 and 2.1.
"""

from __future__ import annotations

from collections.abc import Iterator

# Pages of cells with a record, and how many bytes a cell has before its length.
_INNER_INDEX, _LEAF_INDEX, _LEAF_TABLE = 2, 10, 13
_BEFORE = {_INNER_INDEX: 4, _LEAF_INDEX: 0, _LEAF_TABLE: 0}
_INNER = (2, 5)


def record_headers(database: bytes) -> list[range]:
    """Return where the header of each record is, without its own length."""
    size = int.from_bytes(database[16:18], "big")
    return [
        _header(database, *cell)
        for start in range(0, len(database), size)
        for cell in _cells(database, start, 100 if start == 0 else 0)
    ]


def types_of(database: bytes, value: bytes) -> list[int]:
    """Return where the last bytes of the types of all values are that are stored with this content."""
    return [
        end - 1
        for header in record_headers(database)
        for end, at, length in _values(database, header)
        if database[at : at + length] == value
    ]


def _values(database: bytes, header: range) -> Iterator[tuple[int, int, int]]:
    """Yield where the type of each value of a record ends, where the value begins, and how long it is."""
    end, at = header.start, header.stop
    while end < header.stop:
        kind, end = _varint(database, end)
        length = (kind - 12) // 2 if kind >= 12 else (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)[kind]
        yield end, at, length
        at += length


def _cells(database: bytes, start: int, at: int) -> Iterator[tuple[int, int]]:
    """Yield the kind of a page and where one of its cells is."""
    kind = database[start + at]
    if kind in _BEFORE:
        index = start + at + (12 if kind in _INNER else 8)
        count = int.from_bytes(database[start + at + 3 : start + at + 5], "big")
        for each in range(index, index + 2 * count, 2):
            yield kind, start + int.from_bytes(database[each : each + 2], "big")


def _header(database: bytes, kind: int, cell: int) -> range:
    at = _varint(database, cell + _BEFORE[kind])[1]
    if kind == _LEAF_TABLE:
        at = _varint(database, at)[1]
    length, first = _varint(database, at)
    return range(first, at + length)


def _varint(database: bytes, at: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and where it ends."""
    value = 0
    for count in range(8):
        value = value << 7 | database[at + count] & 0x7F
        if database[at + count] < 0x80:
            return value, at + count + 1
    return value << 8 | database[at + 8], at + 9
