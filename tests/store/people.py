"""People with vectors and labels that a search through files would recognise, and what such a search finds."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forked import run_gerbang
from gerbang import WatchlistClient
from running import KEY

DIMENSION = 64
TEMPLATES = ("--pack", "none", "--dimension", str(DIMENSION), "--threshold", "0.5")
DATABASE = "gerbang.sqlite3"
_WINDOW = 16


def unit(seed: int) -> NDArray[np.float32]:
    """Return a vector of its own for each seed."""
    vector = np.random.default_rng(seed).standard_normal(DIMENSION)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def secret(seed: int) -> str:
    """Return a label's text that is nowhere else."""
    return f"passport-{seed:06d}-of-a-wanted-person"


def enrol(office: WatchlistClient, *seeds: int) -> None:
    """Enrol a person for each seed: person-SEED, with a vector and a label."""
    for seed in seeds:
        office.enroll(f"person-{seed}", [unit(seed)], labels={"case": secret(seed)})


def traces(folder: Path, *values: bytes) -> list[str]:
    """Return the files, and where in them, in which any 16 bytes in a row of any of the values are found."""
    files = [file for file in folder.rglob("*") if file.is_file()] if folder.is_dir() else [folder]
    return [
        f"{file.name} at {position}"
        for file in files
        if (content := file.read_bytes())
        for value in values
        for start in range(max(1, len(value) - _WINDOW + 1))
        if (position := content.find(value[start : start + _WINDOW])) >= 0
    ]


def bytes_of(seed: int) -> tuple[bytes, bytes]:
    """Return what must not be found of a person: the vector and the label."""
    return unit(seed).astype("<f4").tobytes(), secret(seed).encode()


def environment(key: str | None = KEY) -> dict[str, str]:
    """Return the environment of a command: as it is here, with this key alone of what is Gerbang's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GERBANG")}
    return kept if key is None else {**kept, "GERBANG_KEY": key}


def gerbang(*arguments: str | Path, key: str | None = KEY) -> subprocess.CompletedProcess[str]:
    """Run a command of `gerbang`, with KEY in its environment unless told otherwise."""
    return run_gerbang(*arguments, env=environment(key))


def with_a_flipped_bit(database: Path) -> bytes:
    """Return a database's content with one bit of a vector changed. Nobody may have it open."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (vector,) = connection.execute("SELECT vector FROM templates ORDER BY template_id DESC").fetchone()
    content = bytearray(database.read_bytes())
    content[content.find(vector) + len(vector) // 2] ^= 4
    return bytes(content)
