"""The map of the house names what is there."""

from __future__ import annotations

import re
from pathlib import Path

import gerbang_service

ROOT = Path(__file__).resolve().parents[2]
SERVICE = Path(gerbang_service.__file__).parent
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_file_and_folder_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", TEXT))
    assert len(named) > 10
    assert {each for each in named if not (SERVICE / each).exists() and not (ROOT / each).exists()} == set()


def test_every_package_is_on_the_map() -> None:
    packages = {each.parent.name for each in SERVICE.glob("*/__init__.py")}
    assert packages == set(re.findall(r"^  (\w+)/ ", TEXT, re.MULTILINE))
