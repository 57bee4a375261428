"""What the values of options mean, and what an update changes."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from gerbang_service.cli.changes import changes
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.options import Label
from gerbang_service.cli.root import root


def test_a_label_is_split_at_the_first_equals_sign() -> None:
    assert Label().convert("a=b=c", None, None) == ("a", "b=c")
    for text in ("a", "=a"):
        with pytest.raises(click.BadParameter):
            Label().convert(text, None, None)


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


@pytest.mark.parametrize("command", [[], ["enroll"]])
def test_help_tells_the_code_of_a_proposal(command: list[str]) -> None:
    """Scripts tell a silent hit from a change that waits for a second person."""
    told = " ".join(CliRunner().invoke(root, [*command, "--help"]).output.split())
    assert f"{ExitCode.PROPOSED:d} not done, but proposed" in told or f"{ExitCode.PROPOSED:d} a second person" in told
