"""Servers to watch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from telemetry.watched import TEMPLATES, WatchedServer


@pytest.fixture
def watched(data: Path) -> Iterator[WatchedServer]:
    """A server of templates of 16 dimensions, watched, nobody else's."""
    with WatchedServer(data, *TEMPLATES) as running:
        yield running
