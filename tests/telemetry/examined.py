"""What `gerbang doctor` finds, for tests."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from forked import run_gerbang
from running import KEY
from telemetry.metered import TEMPLATES

METERED = ("--metrics-listen", "127.0.0.1:0")


def doctor(data: Path, *options: str, env: dict[str, str] | None = None) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit code and the findings."""
    ended = run_gerbang(
        *("doctor", "--data", str(data), "--listen", "127.0.0.1:0", *TEMPLATES, *METERED, *options, "--json"),
        env={**os.environ, "GERBANG_KEY": KEY, **(env or {})},
    )
    assert ended.returncode in (0, 1), ended.stderr
    document = json.loads(ended.stdout)
    assert document["healthy"] == (ended.returncode == 0)
    return ended.returncode, document["findings"]


def fails(findings: list[dict[str, Any]]) -> list[str]:
    """Return what fails, each with what would mend it."""
    assert all(each["advice"] for each in findings if each["level"] == "fail")
    return [f"{each['area']}: {each['text']}" for each in findings if each["level"] == "fail"]


def warnings(findings: list[dict[str, Any]]) -> list[str]:
    """Return what somebody should look at. The clock of a test machine is left out."""
    return [each["text"] for each in findings if each["level"] == "warning" and each["area"] != "clock"]
