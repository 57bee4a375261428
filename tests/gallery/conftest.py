"""How long a test of a large gallery may take."""

from __future__ import annotations

import time
from collections.abc import Generator

import pytest

# Of the processor's, which a busy machine makes longer, too, but not twice as long.
_SECONDS, _BUSY = 1.0, 2.0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test marked `large` that needs more than a second of the processor, in all threads."""
    before = time.process_time()
    result = yield
    took = time.process_time() - before
    if item.get_closest_marker("large") and took > _SECONDS * _BUSY:
        pytest.fail(f"took {took:.1f} s of the processor: make the gallery smaller, or fill it by `Gallery.load`")
    return result
