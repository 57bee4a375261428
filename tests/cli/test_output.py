"""What the command line prints of answers and failures, and with which code it ends."""

from __future__ import annotations

import re

import grpc
import pytest
from click.testing import CliRunner

import gerbang
from gerbang_service.cli.advice import _BY_REASON, advice, may_succeed_later
from gerbang_service.cli.documents import document, error_document
from gerbang_service.cli.exits import ExitCode, overall
from gerbang_service.cli.output import Output, failure_line, printable
from gerbang_service.cli.root import root
from gerbang_service.domain import errors as domain


def test_exit_code_of_several() -> None:
    """An error outweighs a hit, a hit outweighs a silent one, and that outweighs no hit."""
    assert overall([ExitCode.NO, ExitCode.NO]) == ExitCode.NO
    assert overall([ExitCode.NO, ExitCode.YES]) == ExitCode.YES
    assert int(overall([ExitCode.NO, ExitCode.SILENT, ExitCode.NO])) == 4
    assert overall([ExitCode.SILENT, ExitCode.YES]) == ExitCode.YES
    assert overall([ExitCode.SILENT, ExitCode.ERROR]) == ExitCode.ERROR
    assert overall([ExitCode.YES, ExitCode.ERROR, ExitCode.NO]) == ExitCode.ERROR


def test_document_of_an_answer() -> None:
    """Numbers are numbers with six digits, enums are names, absent messages are absent, empty fields are there."""
    answer = gerbang.IdentifyResponse(
        hit=True,
        revision=2**40,
        candidates=[gerbang.Candidate(subject_id="S", similarity=0.71234567, labels={"hit": "1"})],
        probe_face=gerbang.Face(quality=gerbang.Quality(yaw=-12.3456789)),
    )
    content = document(answer)
    assert content["revision"] == 2**40
    assert content["candidates"][0]["similarity"] == 0.712346
    assert content["candidates"][0]["labels"] == {"hit": "1"}
    assert content["candidates"][0]["watchlists"] == []
    assert content["probe_face"]["quality"]["yaw"] == -12.3457
    assert "error" not in content
    assert document(gerbang.VerifyResponse())["match"] is False
    assert (
        document(gerbang.Watchlist(direction=gerbang.Direction.DIRECTION_ARRIVAL))["direction"] == "DIRECTION_ARRIVAL"
    )
    assert "expire_time" not in document(gerbang.Subject())


def test_failures_are_told() -> None:
    """A reason comes first; a server that is not there is named in a short line; advice says what to do."""
    gone = gerbang.Unavailable(
        "h:1 is unavailable: failed to connect to all addresses; last error: UNKNOWN: ipv4:1.2.3.4:1: Failed to "
        "connect to remote host: Connection refused",
        code=grpc.StatusCode.UNAVAILABLE,
    )
    assert failure_line(gone) == "h:1 can't be reached: Connection refused"
    assert "gerbang serve" in advice(gone)
    assert may_succeed_later(gone)
    none = gerbang.NoFace("no face was found", reason="NO_FACE", code=grpc.StatusCode.FAILED_PRECONDITION)
    assert failure_line(none) == "NO_FACE: no face was found"
    assert advice(none)
    assert not may_succeed_later(none)
    assert error_document(none)["code"] == "FAILED_PRECONDITION"


def test_advice_is_for_reasons_that_there_are() -> None:
    """No advice is kept for a reason that nobody gives any more."""
    reasons = {kind.reason for kind in vars(domain).values() if isinstance(kind, type) and hasattr(kind, "reason")}
    assert set(_BY_REASON) <= reasons | {"DELETED_SINCE"}


def test_text_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences and markup in names and labels are shown, not obeyed."""
    assert printable("a\x1b[31m\nb") == r"a\x1b[31m\nb"
    Output(as_json=False).table(("x",), [("[red]\x1b]0;title\x07",)])
    shown = capsys.readouterr().out
    assert r"[red]\x1b]0;title\x07" in shown


def test_piped_tables_are_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    """What goes to another program stays on its line, however long it is."""
    Output(as_json=False).table(("a", "b"), [("x" * 300, "y" * 300)])
    assert f"{'x' * 300}  {'y' * 300}" in capsys.readouterr().out


@pytest.mark.parametrize("command", [[], ["enroll"], ["identify"]])
def test_help_gives_exit_codes_the_meaning_that_they_have(command: list[str]) -> None:
    """A script that takes a silent hit for a proposal, or the other way round, tells nobody."""
    shown = CliRunner().invoke(root, [*command, "--help"]).output
    codes = " ".join(shown[shown.index("Exit codes:") :].split())
    meanings = dict(re.findall(r"(\d) ([^;.]*)", codes.partition("With several")[0]))
    for word, code in (
        ("silent", ExitCode.SILENT),
        ("second person", ExitCode.PROPOSED),
        ("wrong usage", ExitCode.USAGE),
    ):
        assert {int(each) for each, meaning in meanings.items() if word in meaning} <= {code}
    assert "second person" in codes or command == ["identify"]
