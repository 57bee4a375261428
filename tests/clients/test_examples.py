"""What the examples of a gate do, with servers of this version and of earlier ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gerbang
from gerbang import Decision, IdentifyResponse

README = Path(__file__).parents[2] / "README.md"
# `hit` of an older server, which knew no decisions, was of silent alerts too.
ANSWERS = (
    (IdentifyResponse(hit=True), "stop"),
    (IdentifyResponse(), "pass"),
    (IdentifyResponse(hit=True, decision=Decision.DECISION_HIT), "stop"),
    (IdentifyResponse(decision=Decision.DECISION_SILENT_HIT), "pass"),
    (IdentifyResponse(decision=Decision.DECISION_NO_HIT), "pass"),
)


@pytest.mark.parametrize("text", [README.read_text(), gerbang.__doc__], ids=["README", "client"])
def test_nobody_passes_since_the_server_is_older(text: str) -> None:
    (rule,) = re.findall(r'print\(("stop" if .*? else "pass")\)', text)
    for answer, expected in ANSWERS:
        assert eval(rule, {"answer": answer, "Decision": Decision}) == expected  # noqa: S307 - our own
