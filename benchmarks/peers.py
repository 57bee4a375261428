"""The same job side by side: this service, its bare RPC, and what else finds a face among 100,000 templates.

`python -m benchmarks.peers`: one run; each contender at its best setting among those that miss at most 1 in 1,000 mates
at cosine 0.5, in rounds in which all take turns. Writes benchmarks/results/peers.json and .svg.

The databases' packages are installed into environments of their own, and what takes long to build is kept, both in
benchmarks/.cache; the first run at 100,000 takes an hour or two, a later one some twenty minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.contest import field, standings
from benchmarks.contest.contenders import Unable
from benchmarks.contest.environment import python_of
from benchmarks.contest.standings import OURS, Standing
from benchmarks.contest.tuning import Entry, Tuner
from benchmarks.galleries import CACHE, cached, facelike, facelike_probes
from benchmarks.machine import describe, with_one_thread

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--size", type=int, default=100_000, help="templates")
    add(
        "--probes",
        type=int,
        default=2000,
        help="different probes, all with a mate; misses are counted over at least so many",
    )
    add("--rounds", type=int, default=7)
    add("--seconds", type=float, default=4.0, help="of each contender's turn in a round")
    add("--only", nargs="+", choices=field.NAMES, default=field.NAMES, help="leave out all others but this service")
    add("--quick", action="store_true", help=f"leave out: {field.LEFT_OUT_WHEN_QUICK}")
    add("--output", default="peers", help="the results' name, without .json")
    wanted = parser.parse_args()
    with_one_thread()
    with tempfile.TemporaryDirectory(prefix="gerbang-peers-") as folder, contextlib.ExitStack() as stack:
        ground = _ground(Path(folder), wanted)
        contest = Contest(Tuner(wanted.seconds / 2, wanted.probes, _say))
        for name in field.NAMES:
            if name in wanted.only or name == OURS:
                contest.enter(name, ground, stack)
        if wanted.quick:
            contest.left_out["with --quick"] = field.LEFT_OUT_WHEN_QUICK
        contest.run(wanted.rounds, wanted.seconds)
    _write(contest, wanted)


class Contest:
    """Contenders that can be had, at their best, and why others can't."""

    def __init__(self, tuner: Tuner) -> None:
        self.standings: list[Standing] = []
        self.left_out: dict[str, str] = {}
        self.versions: dict[str, dict[str, str]] = {}
        self._tuner = tuner
        self._entries: dict[str, Entry] = {}

    def enter(self, name: str, ground: field.Ground, stack: contextlib.ExitStack) -> None:
        """Start a contender and find its best setting for each size of batch."""
        try:
            python = None if name not in field.ENVIRONMENTS else python_of(field.ENVIRONMENTS[name])
            entry = field.entry(name, ground, python)
            stack.callback(entry.contender.close)
            best = self._tuner.best(entry)
        except (Unable, OSError, subprocess.CalledProcessError) as error:
            self.left_out[name] = str(error)
            _say(f"{name}: NOT MEASURED: {error}")
            return
        self._entries[name] = entry
        self.versions[name] = entry.contender.versions()
        self.standings += [Standing(name, each) for each in best]
        for each in best:
            _say(f"{name}: best for {each.batch} a call: {each.text}")

    def run(self, rounds: int, seconds: float) -> None:
        """Let all take turns."""
        applied: dict[str, Mapping[str, Any]] = {}
        for number in range(rounds):
            for each in self.standings:
                contender = self._entries[each.name].contender
                if applied.get(each.name) != each.setting.options:
                    contender.apply(each.setting.options)
                    applied[each.name] = each.setting.options
                each.add(contender.measure(each.setting.clients, each.setting.batch, seconds))
                _say(f"round {number + 1}: {each.key}: {each.rates[-1]:,.1f}/s")


def _ground(folder: Path, wanted: argparse.Namespace) -> field.Ground:
    """Make the templates and the probes that all get."""
    size, count = wanted.size, wanted.probes
    key = f"facelike-{size}"
    templates = cached(f"templates-{key}", lambda: facelike(size)).astype(np.float32, copy=False)
    probes, mates = facelike_probes(templates, count, field.SIMILARITY)
    np.savez(folder / "probes.npz", probes=probes, mates=mates)
    return field.Ground(
        key, CACHE / f"templates-{key}.npy", folder / "probes.npz", templates, count, folder, wanted.quick
    )


def _write(contest: Contest, wanted: argparse.Namespace) -> None:
    found: Sequence[Standing] = contest.standings
    result = {
        "templates": wanted.size,
        "probes_at_cosine": field.SIMILARITY,
        "different_probes": wanted.probes,
        "rounds": wanted.rounds,
        "seconds_a_turn": wanted.seconds,
        "contenders": standings.as_json(found, contest.versions),
        "left_out": contest.left_out,
        "verdicts": standings.verdicts(found),
        "machine": describe(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{wanted.output}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    path.with_suffix(".svg").write_text(standings.chart(found, wanted.size))
    print(f"\n{standings.table(found)}\n")
    for line in standings.verdicts(found):
        print(line)
    for name, reason in contest.left_out.items():
        print(f"NOT MEASURED: {name}: {reason}")
    print(f"wrote {path.name}")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
