"""Options of the update commands: only what is given is changed, and `--no-X` takes X away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def clearing_option(flag: str, text: str) -> Callable[[F], F]:
    """`--no-...`, a flag."""
    return click.option(flag, is_flag=True, help=text)


def changes(given: Mapping[str, Any], cleared: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields to change, for the client's update calls.

    `given` is what click parsed; None, () and {} are options that were not given. `cleared` tells for each clearing
    flag in `given` the field that it clears, and what it sets it to. Raises click.UsageError for a field that is both
    set and cleared, and when there is nothing to change.
    """
    fields = {name: value for name, value in given.items() if name not in cleared and value not in (None, (), {})}
    for flag, (name, empty) in cleared.items():
        if not given[flag]:
            continue
        if name in fields:
            raise click.UsageError(f"--{flag.replace('_', '-')} says the opposite of another option")
        fields[name] = empty
    if not fields:
        raise click.UsageError("nothing to change: give at least one option")
    return fields
