"""What the values of options mean, and what an update changes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
import pytest

from gerbang_service.cli.changes import changes
from gerbang_service.cli.options import Label, Moment


def test_option_values() -> None:
    """Times without an offset are UTC; labels split at the first `=`."""
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert Moment().convert("2026-03-01T12:00", None, None) == noon
    assert Moment().convert("2026-03-01T19:00+07:00", None, None) == noon
    assert Label().convert("a=b=c", None, None) == ("a", "b=c")
    for kind, text in ((Moment(), "tomorrow"), (Label(), "a"), (Label(), "=a")):
        with pytest.raises(click.BadParameter):
            kind.convert(text, None, None)


def test_changes() -> None:
    """An update changes what is given, clears what is told to be cleared, and refuses both at once or nothing."""
    cleared: dict[str, tuple[str, Any]] = {"no_labels": ("labels", {})}
    given: dict[str, Any] = {"title": "", "action": None, "labels": {}, "no_labels": False}
    assert changes(given, cleared) == {"title": ""}
    assert changes({**given, "no_labels": True}, cleared) == {"title": "", "labels": {}}
    with pytest.raises(click.UsageError, match="--no-labels"):
        changes({**given, "labels": {"a": "b"}, "no_labels": True}, cleared)
    with pytest.raises(click.UsageError, match="nothing to change"):
        changes({"title": None, "no_labels": False}, cleared)
