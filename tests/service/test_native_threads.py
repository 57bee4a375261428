"""What the server imports starts no threads of its own: they would fight those that search for the processors."""

from __future__ import annotations

import os
import subprocess
import sys

_IMPORTS = "import gerbang_service.cli.serve, gerbang_service.running.server, os; print(*os.listdir('/proc/self/task'))"


def test_importing_the_server_as_the_command_does_starts_no_thread() -> None:
    env = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    run = subprocess.run([sys.executable, "-c", _IMPORTS], env=env, capture_output=True, text=True, check=True)
    assert len(run.stdout.split()) == 1
