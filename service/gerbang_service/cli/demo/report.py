"""What the demo shows: a table a chapter, and what it all comes to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from gerbang_service.cli.demo.record import Event, Record, percentile
from gerbang_service.cli.output import Cell, Output

_COLUMNS = (">s", "where", "who", "what is true", "told", ">cosine", ">ms", "")
_QUIET = {"no hit", "match", "done"}


def show_chapter(output: Output, title: str, events: Sequence[Event]) -> None:
    """Print the events of a chapter."""
    output.table(_COLUMNS, [_row(event) for event in events], title=title)


def show_summary(output: Output, record: Record) -> None:
    """Print how long calls took, what was wrong, and whether all was right; with JSON all events."""
    if output.as_json:
        output.document(_document(record))
        return
    rows = [
        (call, str(len(times)), f"{percentile(times, 0.5):.1f}", f"{percentile(times, 0.99):.1f}")
        for call, times in _times(record).items()
    ]
    output.table(("call", ">calls", ">p50 ms", ">p99 ms"), rows, title="Times, from the client's side")
    wrong = record.wrong
    for event in wrong:
        output.line(Text(_wrong_line(event), style="red"))
    total = len(record.events)
    if wrong:
        output.line(Text(f"{len(wrong)} of {total} answers were wrong.", style="bold red"))
        if all(event.verdict.similarity is not None for event in wrong):
            output.line("All by similarity: the recogniser, or its threshold, erred; nothing else did.")
    else:
        output.line(Text(f"{total} answers, all of them right.", style="bold green"))


def _row(event: Event) -> tuple[Cell, ...]:
    question, verdict = event.question, event.verdict
    style = "red" if not event.right else "" if verdict.words in _QUIET else "yellow"
    return (
        f"{event.at_s:.1f}",
        question.place,
        question.who,
        Text(question.truth, style="dim"),
        Text(verdict.words, style=style),
        "" if verdict.similarity is None else f"{verdict.similarity:.4f}",
        f"{event.ms:.0f}",
        Text("right", style="green") if event.right else Text("WRONG", style="bold red"),
    )


def _wrong_line(event: Event) -> str:
    question, verdict = event.question, event.verdict
    score = "" if verdict.similarity is None else f" (similarity {verdict.similarity:.4f})"
    return (
        f"Wrong: {question.call} at {question.place}, {question.who}, {question.truth}: "
        f"{verdict.words}{score}; right is {' or '.join(question.right)}"
    )


def _times(record: Record) -> dict[str, list[float]]:
    times: defaultdict[str, list[float]] = defaultdict(list)
    for event in record.events:
        if event.question.call:
            times[event.question.call].append(event.ms)
    return times


def _document(record: Record) -> dict[str, Any]:
    return {
        "all_right": not record.wrong,
        "answers": len(record.events),
        "wrong": len(record.wrong),
        "calls": {
            call: {
                "calls": len(times),
                "p50_ms": round(percentile(times, 0.5), 2),
                "p99_ms": round(percentile(times, 0.99), 2),
            }
            for call, times in _times(record).items()
        },
        "events": [_event_document(event) for event in record.events],
    }


def _event_document(event: Event) -> dict[str, Any]:
    question, verdict = event.question, event.verdict
    return {
        "at_s": round(event.at_s, 3),
        "call": question.call,
        "place": question.place,
        "who": question.who,
        "truth": question.truth,
        "told": verdict.words,
        "expected": list(question.right),
        "similarity": None if verdict.similarity is None else round(verdict.similarity, 6),
        "ms": round(event.ms, 2),
        "right": event.right,
    }
