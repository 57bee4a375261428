"""The classes of an error tree."""

from __future__ import annotations

from typing import Any


def subclasses(base: type[Any]) -> list[type[Any]]:
    """Return all subclasses, at any depth."""
    return [kind for child in base.__subclasses__() for kind in (child, *subclasses(child))]
