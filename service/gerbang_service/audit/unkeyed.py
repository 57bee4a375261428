"""What of the logs may be without codes of the key: what was written before the data folder was encrypted.

Whoever lacks the key could write a log anew without any codes, and say that it is of before. So where the logs ended
when they came to a key is kept in the database, sealed with that key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from gerbang_service.audit.chain import Head, take_apart
from gerbang_service.audit.files import chain_folders, ending, log_files, log_name


def unkeyed_heads(folder: Path) -> dict[str, Head]:
    """Return where what was written without a key ends, of each log of a folder that has such, by its name.

    Raises OSError.
    """
    if not folder.is_dir():
        return {}
    found = {log_name(each): _end(log_files(each)) for each in chain_folders(folder)}
    return {name: head for name, head in found.items() if head is not None}


def _end(files: list[Path]) -> Head | None:
    end = None
    for file in files:
        with file.open("rb") as opened:
            first = take_apart(opened.readline().removesuffix(b"\n"))
        if first is not None and first.mac is not None:
            break  # a log that comes to a key begins a new file
        last = ending(file).line
        end = end if last is None else last.head
    return end


def to_text(heads: Mapping[str, Head]) -> str:
    """Return heads as they are kept: a JSON object, of SEQUENCE:HASH by the names of logs."""
    return json.dumps({name: str(head) for name, head in heads.items()}, separators=(",", ":"))


def from_text(text: str) -> dict[str, Head]:
    """Read what `to_text` gave; raise ValueError for anything else."""
    try:
        return {name: Head.parse(head) for name, head in json.loads(text).items()}
    except AttributeError:
        raise ValueError("these are no heads of logs") from None
