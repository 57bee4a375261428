"""The stand-in pack, written once, and InsightFace with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from faces.drawn_faces import load
from gerbang_service.faces.standin import write_pack


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the pack, once."""
    folder = tmp_path_factory.mktemp("pack")
    write_pack(folder)
    return folder


@pytest.fixture(scope="session")
def apps(folder: Path) -> dict[int, Any]:
    """Load the pack for either size of the detector's input."""
    return {size: load(folder, size) for size in (320, 640)}


@pytest.fixture(scope="session")
def app(apps: dict[int, Any]) -> Any:
    """Take the small detector."""
    return apps[320]
