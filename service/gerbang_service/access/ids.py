"""Ids of calls and of searches: they tell these apart, and are no secrets."""

from __future__ import annotations

import os
import random

# The system's own randomness, asked in every call, cost ten times as much.
_ids = random.Random()  # noqa: S311 - seeded by the system
# Or a process that was forked would give the ids of its siblings.
os.register_at_fork(after_in_child=_ids.seed)

# The bits that say of a UUID that it is random (RFC 9562, 5.4): version 4, variant 10.
_FIXED = (0xF << 76) | (0x3 << 62)
_RANDOM = (0x4 << 76) | (0x2 << 62)


def new_id() -> str:
    """Return 32 random hexadecimal digits."""
    return f"{_ids.getrandbits(128):032x}"


def new_uuid() -> str:
    """Return a random UUID."""
    digits = f"{_ids.getrandbits(128) & ~_FIXED | _RANDOM:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
