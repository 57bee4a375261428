"""Deleted means erased: nothing of a deleted person stays in the data folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gerbang import WatchlistClient
from running import RunningServer

# In the clear, where what is left would be recognised; tests/store looks for what is encrypted.
TEMPLATES = ("--pack", "none", "--dimension", "128", "--threshold", "0.5", "--no-encryption")


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(128).astype(np.float64)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def holds(data: Path, wanted: bytes) -> bool:
    return any(wanted in file.read_bytes() for file in data.iterdir() if file.is_file())


def test_nothing_of_a_deleted_subject_stays_in_the_data_folder(data: Path) -> None:
    """Vector, labels and the stored answer of its request are overwritten; those of others stay."""
    with RunningServer(data, *TEMPLATES) as server, WatchlistClient(server.address) as office:
        for seed in range(20):
            office.enroll(f"person-{seed}", [unit(seed)], labels={"case": f"secret-{seed}-secret"})
        vectors = [unit(seed).astype("<f4").tobytes()[8:-8] for seed in range(20)]
        assert holds(data, vectors[3])
        assert holds(data, b"secret-3-secret")
        office.delete_subject("person-3")
        assert not holds(data, vectors[3])
        assert not holds(data, b"secret-3-secret")
        assert holds(data, vectors[4])


def test_replacing_and_deleting_a_template_erase_the_old_vector(data: Path) -> None:
    """What is replaced is gone as well as what is deleted."""
    with RunningServer(data, *TEMPLATES) as server, WatchlistClient(server.address) as office:
        office.enroll("one", [unit(1), unit(2)], allow_different=True)
        first = office.get_subject("one").templates[0].template_id
        office.delete_template("one", first)
        assert not holds(data, unit(1).astype("<f4").tobytes()[8:-8])
        assert holds(data, unit(2).astype("<f4").tobytes()[8:-8])
        office.enroll("one", [unit(3)], on_existing="replace", allow_different=True)
        assert not holds(data, unit(2).astype("<f4").tobytes()[8:-8])
        assert holds(data, unit(3).astype("<f4").tobytes()[8:-8])
