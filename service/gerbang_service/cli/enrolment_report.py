"""What an enrolment comes to: counts while it runs, a summary at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from gerbang import GerbangError
from gerbang_service.cli.advice import advice_on, may_succeed_later
from gerbang_service.cli.documents import error_document
from gerbang_service.cli.enrolments import KEPT, Outcome, PhotoResult
from gerbang_service.cli.exits import ExitCode
from gerbang_service.cli.output import Output, counted, listed

PROPOSED: Final = "SECOND_PERSON_NEEDED"
"""Reason of a photo that would take somebody off a list that asks for two people."""

_SHOWN: Final = 20  # rows of a table for people; --json has them all


@dataclass(slots=True)
class Tally:
    """Results so far of enrolling people; `broken` when the stream ended before all were answered.

    `people`: their ids; `asked`: how many results there will be, each of a `unit`: a photo, or a row of a manifest.
    `skipped`: files and folders that are nobody's; `hidden`: how many hidden files were left out.
    """

    people: Sequence[str]
    asked: int
    skipped: Sequence[Path] = ()
    hidden: int = 0
    unit: str = "photo"
    results: list[PhotoResult] = field(default_factory=list)
    counts: Counter[Outcome] = field(default_factory=Counter)
    broken: GerbangError | None = None
    interrupted: bool = False
    unanswered: int = 0

    def add(self, result: PhotoResult) -> None:
        """Count one photo."""
        self.results.append(result)
        self.counts[result.outcome] += 1

    @property
    def kept(self) -> int:
        """Photos that the server has acknowledged, in this run or before."""
        return sum(self.counts[each] for each in KEPT)

    @property
    def finished(self) -> bool:
        """Whether every photo was answered for good."""
        return self.broken is None and not self.interrupted and not self.counts[Outcome.NOT_DONE]

    @property
    def without_photo(self) -> list[str]:
        """Ids of people of whom no photo was kept; known only once `finished`."""
        kept = {result.subject_id for result in self.results if result.outcome in KEPT}
        return [subject_id for subject_id in self.people if subject_id not in kept]

    @property
    def exit_code(self) -> ExitCode:
        """YES: all that there was is enrolled; NO: not all of it; ERROR: not finished, or nothing was kept.

        PROPOSED: somebody would leave a list by it, and a second person has to confirm that.
        """
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if not self.finished:
            return ExitCode.ERROR
        if any(each.reason == PROPOSED for each in self.results):
            return ExitCode.PROPOSED
        left_out = self.counts[Outcome.REJECTED] or self.without_photo or self.skipped
        if self.asked and not self.kept:
            return ExitCode.ERROR
        return ExitCode.NO if left_out else ExitCode.YES


def report(tally: Tally, output: Output) -> None:
    """Print what became of the photos."""
    if output.as_json:
        output.document(_document(tally))
    else:
        # What matters most comes last: long tables scroll the rest away.
        _rejections(tally, output)
        _duplicates(tally, output)
        _summary(tally, output)
    if tally.broken is not None:
        output.failure(tally.broken)
    if not tally.finished:
        again = "run the same command again: the server takes only what it has not got yet"
        output.complain(_unfinished_line(tally), hint=again if _is_passing(tally) else f"mend that, then {again}")


def _summary(tally: Tally, output: Output) -> None:
    counts = tally.counts
    people, asked = len(tally.people), tally.asked
    output.line(
        f"{people} {'person' if people == 1 else 'people'}, {counted(asked, tally.unit)}: ",
        Text(f"{counts[Outcome.ENROLLED]} enrolled", style="bold green" if counts[Outcome.ENROLLED] else ""),
        f", {counts[Outcome.ALREADY_THERE]} already there, ",
        Text(f"{counts[Outcome.REJECTED]} rejected", style="bold red" if counts[Outcome.REJECTED] else ""),
    )
    for subject_id, lists in _added(tally).items():
        output.line(f"{subject_id} was there already, and is now on {listed(lists)} too")
    if proposed := sorted({result.subject_id for result in tally.results if result.reason == PROPOSED}):
        output.line(
            Text(f"Not done, but proposed; another person has to confirm it: {_first(proposed)}", style="bold red")
        )
    missing = [each for each in tally.without_photo if each not in proposed] if tally.finished else []
    if missing:
        output.line(Text(f"No photo was kept of {_first(missing)}", style="bold red"))
    if expired := list(dict.fromkeys(result.subject_id for result in tally.results if result.expired)):
        output.line(Text(f"Not found by Identify, since the time is over: {_first(expired)}", style="bold red"))
    if tally.skipped:
        names = [str(path) for path in tally.skipped]
        output.line(Text(f"Not sent, since it is not clear whose it is: {_first(names)}", style="bold red"))
    if tally.hidden:
        files = "file was" if tally.hidden == 1 else "files were"
        output.line(Text(f"{tally.hidden} hidden {files} left out", style="dim"))


def _added(tally: Tally) -> dict[str, list[str]]:
    """Return who was there already and was put on further lists."""
    found: dict[str, dict[str, None]] = {}
    for result in tally.results:
        if result.added:
            found.setdefault(result.subject_id, {}).update(dict.fromkeys(result.added))
    return {subject_id: list(lists) for subject_id, lists in found.items()}


def _rejections(tally: Tally, output: Output) -> None:
    bad = [result for result in tally.results if result.outcome in (Outcome.REJECTED, Outcome.NOT_DONE)]
    if not bad:
        return
    rows = [(_short(result), result.reason, result.detail) for result in bad[:_SHOWN]]
    output.table((tally.unit, "reason", "detail"), rows)
    _and_more(len(bad), output)
    reasons = Counter(result.reason for result in bad)
    rows = [(reason, str(count), advice) for reason, count in reasons.most_common() if (advice := advice_on(reason))]
    if rows:
        output.table(("reason", f">{tally.unit}s", "what to do"), rows)


def _duplicates(tally: Tally, output: Output) -> None:
    # A line for two people, not for each photo: somebody with many would hide the others.
    best: dict[tuple[str, str], float] = {}
    photos: Counter[tuple[str, str]] = Counter()
    for result in tally.results:
        for other in result.duplicates:
            pair = (result.subject_id, other.subject_id)
            best[pair] = max(best.get(pair, -1.0), other.similarity)
            photos[pair] += 1
    if not best:
        return
    found = [(one, other, str(photos[one, other]), f"{best[one, other]:.4f}") for one, other in best]
    output.table(
        ("enrolled as", "has the face of", ">photos", ">similarity"), found[:_SHOWN], title="Enrolled twice, perhaps"
    )
    _and_more(len(found), output)


def _and_more(total: int, output: Output) -> None:
    if total > _SHOWN:
        output.line(Text(f"... and {total - _SHOWN} more; --json lists them all", style="dim"))


def _unfinished_line(tally: Tally) -> str:
    left = tally.asked - len(tally.results) + tally.counts[Outcome.NOT_DONE]
    line = f"not finished: {tally.kept} of {tally.asked} {tally.unit}s are kept, {left} to be sent again"
    if tally.unanswered and (tally.results or _is_passing(tally)):
        line += f"; {tally.unanswered} of those were sent, and the server may have kept them without saying so"
    return line


def _is_passing(tally: Tally) -> bool:
    """Tell whether what broke it off may be over when it is run again: it was not refused."""
    return tally.broken is None or may_succeed_later(tally.broken)


def _document(tally: Tally) -> dict[str, Any]:
    content: dict[str, Any] = {
        "finished": tally.finished,
        "people": len(tally.people),
        f"{tally.unit}s": tally.asked,
        "counts": {outcome.value: tally.counts[outcome] for outcome in Outcome},
        "without_photo": tally.without_photo if tally.finished else [],
        "skipped": [str(path) for path in tally.skipped],
        "hidden": tally.hidden,
        "results": [_result_document(result) for result in tally.results],
    }
    if tally.broken is not None:
        content["error"] = error_document(tally.broken)
    return content


def _result_document(result: PhotoResult) -> dict[str, Any]:
    content: dict[str, Any] = {
        "photo": None if result.photo is None else str(result.photo),
        "subject_id": result.subject_id,
        "outcome": result.outcome.value,
    }
    if result.reason or result.detail:
        content |= {"reason": result.reason, "detail": result.detail}
    else:
        content |= {
            "template_id": result.template_id,
            "duplicates": [
                {"subject_id": other.subject_id, "similarity": round(other.similarity, 6)}
                for other in result.duplicates
            ],
            "expired": result.expired,
            "added_watchlists": list(result.added),
        }
    return content


def _short(result: PhotoResult) -> str:
    """Shorten a photo's path for a table; enough is left to find it."""
    photo = result.photo
    if photo is None:
        return f"{result.subject_id}, no photo"
    if photo.name.startswith(photo.parent.name):
        return photo.name
    return str(Path(photo.parent.name, photo.name))


def _first(names: list[str], count: int = 10) -> str:
    shown = ", ".join(names[:count])
    return shown if len(names) <= count else f"{shown} and {len(names) - count} more"
