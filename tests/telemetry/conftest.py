"""Servers with metrics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from telemetry.metered import TEMPLATES, MeteredServer


@pytest.fixture
def metered(data: Path) -> Iterator[MeteredServer]:
    """A server of templates of 16 dimensions, with metrics, nobody else's."""
    with MeteredServer(data, *TEMPLATES) as running:
        yield running
