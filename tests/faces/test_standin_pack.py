"""The stand-in pack's files are the same every time and say what they are."""

from __future__ import annotations

from pathlib import Path

from gerbang_service.faces.standin import write_pack


def test_pack_is_the_same_bytes_every_time(folder: Path, tmp_path: Path) -> None:
    """The pack written twice has the same bytes, so that templates keep their model's fingerprint."""
    write_pack(tmp_path / "again")
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    second = {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}
    assert len(first) == 2
    assert first == second


def test_pack_says_what_it_is(folder: Path) -> None:
    """Both files carry a note that they are no face models for photographs of people."""
    for path in folder.iterdir():
        assert b"for photographs of people" in path.read_bytes()
