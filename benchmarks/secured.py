"""What security costs: unary Identify with mutual TLS, encryption at rest, audit log and metrics, against none of them.

    python -m benchmarks.secured --templates 10000

Two servers over the same templates take turns; each part is also measured by itself. Writes
benchmarks/results/secured.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.galleries import facelike
from benchmarks.loading.channels import resolved
from benchmarks.loading.command import measured
from benchmarks.loading.serving import serving
from benchmarks.machine import describe

_RESULT = Path(__file__).resolve().parent / "results" / "secured.json"
_OFF = ("--no-encryption", "--no-audit-log", "--threshold", "0.45")


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each server in each round")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gerbang-secured-") as folder:
        certificates = Path(folder) / "certs"
        _certs("ca", str(certificates))
        _certs("issue", str(certificates), "load", "--role", "gate")
        result = {name: _against_none(name, Path(folder), certificates, wanted) for name in _variants(certificates)}
    _RESULT.write_text(json.dumps({"templates": wanted.templates, **result, "machine": describe()}, indent=1) + "\n")
    for name, each in result.items():
        print(f"{name}: {each['ratio']['median']:.3f} of the rate without")


def _variants(certificates: Path) -> dict[str, tuple[str, ...]]:
    """Return what is switched on, by name: options beside the threshold."""
    tls = (
        *("--tls-certificate", str(certificates / "server.pem"), "--tls-key", str(certificates / "server.key")),
        *("--client-ca", str(certificates / "ca.pem"), "--policy", str(certificates / "policy.toml")),
    )
    metrics = ("--metrics-listen", "127.0.0.1:0")
    return {
        "mutual TLS": (*tls, "--no-encryption", "--no-audit-log"),
        "encryption at rest": ("--no-audit-log",),
        "audit log": ("--no-encryption",),
        "metrics": (*metrics, "--no-encryption", "--no-audit-log"),
        "all": (*tls, *metrics),
    }


def _against_none(name: str, folder: Path, certificates: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    templates = facelike(wanted.templates)
    options = _variants(certificates)[name]
    client = f"@{certificates / 'load'}" if "--client-ca" in options else ""
    credentials = resolved(f"-{client}")[1]
    place = folder / name.replace(" ", "-")
    place.mkdir()
    with ExitStack() as servers:
        plain = servers.enter_context(serving(place / "plain", templates, *_OFF))
        secured = servers.enter_context(
            serving(place / "secured", templates, "--threshold", "0.45", *options, credentials=credentials)
        )
        targets = ("--target", f"{secured.address}{client}", "--compare", plain.address)
        load = measured(
            "benchmarks.load", *targets, "--rounds", str(wanted.rounds), "--seconds", f"{wanted.seconds:g}",
            "--gallery", str(wanted.templates), "--mated", "0.02",
        )  # fmt: skip
    own, other = load["result"]["totals"]
    found = {"per_s": own["per_s"], "without per_s": other["per_s"], "ratio": load["result"]["ratio"]}
    print(name, json.dumps(found), flush=True)
    return {**found, "latency_ms": own["latency_ms"], "errors": own["errors"], "mates missed": own["mates_missed"]}


def _certs(*arguments: str) -> None:
    command = [sys.executable, "-m", "gerbang_service.cli", "certs", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
