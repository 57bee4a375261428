"""A manifest that is killed at random and repeated: each row is enrolled exactly once, and the export is equal.

`python -m crash.manifest --rows 10000 --kills 5` says what it did. Every other kill is the server's, the rest are the
command's; the first kill is the command's.
"""

from __future__ import annotations

import argparse
import csv
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from gerbang import WatchlistClient
from pictures import photo
from running import RunningServer

_FACES = 50
_LISTS = ("red", "yellow", "green")


def make_manifest(folder: Path, rows: int, tag: str = "") -> Path:
    """Write photos and a manifest of so many rows: some people have two, with lists, ends and labels of every kind."""
    for number in range(_FACES):
        (folder / f"{number:02}.jpg").write_bytes(photo(number))
        (folder / f"{number:02}-later.jpg").write_bytes(photo(number, 2))
    file = folder / "people.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["subject_id", "photo", "watchlists", "valid_until", "label.name"])
        for row in range(rows):
            # Every tenth person has the row before, too: another photo of the same face.
            number = row - 1 if row % 11 == 10 else row
            lists = ";".join(tag + each for at, each in enumerate(_LISTS) if number >> at & 1)
            end = "2230-01-31" if number % 3 else ""
            file_name = f"{number % _FACES:02}{'' if row == number else '-later'}.jpg"
            writer.writerow([f"{tag}P-{number:06}", file_name, lists, end, f'Ana "{number}", Müller; {tag}'])
    return file


@dataclass(slots=True)
class Command:
    """`gerbang ...` in a process of its own."""

    process: subprocess.Popen[str]

    @classmethod
    def begin(cls, address: str, *arguments: str | Path) -> Command:
        """Start it."""
        command = [sys.executable, "-m", "gerbang_service.cli", *map(str, arguments), "--server", address]
        return cls(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))

    def end(self, timeout_s: float) -> tuple[int, str]:
        """Wait for its end; return its exit code and what it said."""
        said = "".join(self.process.communicate(timeout=timeout_s))
        return self.process.returncode, said


@dataclass(slots=True)
class Report:
    """What was done: how many subjects were there at each kill, and seconds in all."""

    killed_at: list[tuple[str, int]] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def on_lists(address: str, tag: str) -> dict[str, tuple[int, tuple[str, ...], str]]:
    """Return those of a tag: how many templates each has, its lists and its name."""
    with WatchlistClient(address, timeout=60) as office:
        return {
            each.subject_id: (len(each.templates), tuple(each.watchlists), each.labels["name"])
            for each in office.list_subjects(page_size=1000)
            if each.subject_id.startswith(tag)
        }


def wanted(manifest: Path) -> dict[str, tuple[int, tuple[str, ...], str]]:
    """Return who should be there by a manifest, as `on_lists` does."""
    people: dict[str, tuple[int, tuple[str, ...], str]] = {}
    with manifest.open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            count = people.get(row["subject_id"], (0,))[0]
            lists = tuple(sorted(filter(None, row["watchlists"].split(";"))))
            people[row["subject_id"]] = count + 1, lists, row["label.name"]
    return people


def outcomes_of(results: Path) -> Counter[str]:
    """Count the outcomes in a result file."""
    with results.open(encoding="utf-8", newline="") as rows:
        return Counter(row["outcome"] for row in csv.DictReader(rows))


def kill_at(running: RunningServer, command: Command, count: int, victim: str) -> int:
    """Kill the server or the command when so many subjects are there, or it has ended; return how many there were."""
    with WatchlistClient(running.address, timeout=60) as office:
        while (there := office.server_info().subject_count) < count and command.process.poll() is None:
            time.sleep(0.005)
    if victim == "server":
        running.kill()
    else:
        command.process.kill()
    command.end(60)
    return there


def make_lists(address: str, tag: str = "") -> None:
    """Create the lists that the manifest names."""
    with WatchlistClient(address) as office:
        for each in _LISTS:
            office.create_watchlist(tag + each)


def run(folder: Path, rows: int, kills: int, chance: random.Random) -> Report:
    """Enrol a manifest on a server of its own, killed so often; check that all is right. Raises AssertionError."""
    report, began = Report(), time.monotonic()
    manifest = make_manifest(folder, rows)
    options = ("--pack", "stand-in")
    running = RunningServer(folder / "data", *options)
    try:
        make_lists(running.address)
        people = wanted(manifest)
        for number, count in enumerate(sorted(chance.sample(range(1, len(people)), kills))):
            command = Command.begin(running.address, "enroll", "--manifest", manifest)
            victim = ("command", "server")[number % 2]
            report.killed_at.append((victim, kill_at(running, command, count, victim)))
            if victim == "server":
                running = RunningServer(folder / "data", *options)
        code, said = Command.begin(running.address, "enroll", "--manifest", manifest).end(3600)
        assert code == 0, said
        report.outcomes = outcomes_of(folder / "people.results.csv")
        assert sum(report.outcomes.values()) == report.outcomes["enrolled"] + report.outcomes["already"] == rows
        assert on_lists(running.address, "P-") == people
        first = _exported(running, folder / "first.csv", len(people))
    finally:
        running.stop()
    with RunningServer(folder / "other", *options) as other:
        make_lists(other.address)
        code, said = Command.begin(other.address, "enroll", "--manifest", _with_photos(first, manifest)).end(3600)
        assert code == 0, said
        assert _exported(other, folder / "second.csv", len(people)).read_bytes() == first.read_bytes()
        assert on_lists(other.address, "P-") == people
    report.seconds = time.monotonic() - began
    return report


def _exported(running: RunningServer, file: Path, people: int) -> Path:
    code, said = Command.begin(running.address, "subject", "export", file).end(600)
    assert code == 0, said
    with file.open(encoding="utf-8", newline="") as rows:
        assert sum(1 for _ in csv.DictReader(rows)) == people
    return file


def _with_photos(exported: Path, manifest: Path) -> Path:
    """Return a manifest of an export's rows, each as often as the subject has photos in another, with these."""
    with exported.open(encoding="utf-8", newline="") as rows, manifest.open(encoding="utf-8", newline="") as kept:
        of_id = {row["subject_id"]: row for row in csv.DictReader(rows)}
        full = [of_id[row["subject_id"]] | {"photo": row["photo"]} for row in csv.DictReader(kept)]
    file = exported.with_name("again.csv")
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, full[0])
        writer.writeheader()
        writer.writerows(full)
    return file


def main() -> None:
    """Run it with what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    seed = random.randrange(10**9) if given.seed is None else given.seed
    with tempfile.TemporaryDirectory() as folder:
        report = run(Path(folder), given.rows, given.kills, random.Random(seed))
    print(f"seed {seed}: {given.rows} rows, killed at {report.killed_at}; last run {dict(report.outcomes)}")
    print(f"each row exactly once, both exports equal; {report.seconds:.0f} s")


if __name__ == "__main__":
    main()
