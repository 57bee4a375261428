"""What tests of the gallery share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from office import OPEN


@pytest.fixture(scope="module", autouse=True)
def _stopped() -> Iterator[None]:
    """Threads of galleries end with the tests that started them."""
    yield
    while OPEN:
        OPEN.pop().gallery.stop()
