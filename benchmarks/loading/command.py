"""`benchmarks.load` and its like, run as commands of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import without_thread_limits


def measured(module: str, *options: str) -> dict[str, Any]:
    """Run a module that takes --json, and return what it wrote. Raises subprocess.CalledProcessError."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [sys.executable, "-m", module, *options, "--json", file.name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=without_thread_limits())
        result: dict[str, Any] = json.loads(Path(file.name).read_text())
        return result
