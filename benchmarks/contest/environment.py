"""The peers' own virtual environments, in the benchmarks' cache: their packages are no part of this project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.galleries import CACHE

# Each generation of Milvus Lite has an environment: the two are one package.
REQUIREMENTS = Path(__file__).resolve().parent / "requirements"


def python_of(name: str) -> Path:
    """Return the interpreter with what `requirements/NAME.txt` pins installed, made when missing or changed.

    Raises subprocess.CalledProcessError when a package can't be installed.
    """
    wanted = (REQUIREMENTS / f"{name}.txt").read_text()
    folder = CACHE / f"venv-{name}"
    python, note = folder / "bin" / "python", folder / "installed.txt"
    if note.exists() and note.read_text() == wanted:
        return python
    print(f"installing the packages of {name}", flush=True)
    uv = str(Path(sys.executable).parent / "uv")
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", str(python), "--only-binary", ":all:"]
    subprocess.run([*install, "--requirement", str(REQUIREMENTS / f"{name}.txt")], check=True)
    note.write_text(wanted)
    return python
