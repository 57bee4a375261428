"""What the measurements ran on, and how a process gets one thread."""

from __future__ import annotations

import datetime as dt
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
# These choose kernels for another processor.
_UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
_PACKAGES = ("faiss-cpu", "grpcio", "hnswlib", "numpy", "onnxruntime")


def with_one_thread() -> None:
    """Start this program anew with one thread for matrix products, unless it has: numpy reads that when imported."""
    wanted = {**{name: value for name, value in os.environ.items() if name not in _UNSET}, **_ONE_THREAD}
    if dict(os.environ) != wanted:
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)  # noqa: S606 - itself


def without_thread_limits() -> dict[str, str]:
    """Return the environment for a program that is to use all cores, as users start it."""
    return {name: value for name, value in os.environ.items() if name not in _ONE_THREAD}


def describe() -> dict[str, object]:
    """Return what a reader of a result needs to know of the machine."""
    return {
        "cpu": _cpu_model(),
        "features": [each for each in ("avx2", "avx512f") if each in _cpu_flags()],
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "load_average": [round(each, 2) for each in os.getloadavg()],
    }


def _cpu_field(name: str) -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "unknown")


def _cpu_model() -> str:
    family, model = _cpu_field("cpu family"), _cpu_field("model\t")
    return f"{_cpu_field('model name')} (family {family}, model {model})"


def _cpu_flags() -> list[str]:
    return _cpu_field("flags").split()
