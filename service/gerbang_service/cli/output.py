"""The one place that prints: tables and lines for people, one JSON document for programs, errors for both."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gerbang import GerbangError, SecondPersonNeeded
from gerbang_service.cli.advice import advice
from gerbang_service.cli.documents import error_document
from gerbang_service.domain.errors import StartupError

_PIPED_WIDTH = 10_000  # columns: what goes into a file or another program is never folded

# gRPC's text when there is no server, of which only the beginning and the end say anything.
_UNREACHABLE = re.compile(r"(\S+) .*failed to connect to all addresses.*: (?!OK$)([^:]+?)(?:: OK)?", re.DOTALL)

Cell = str | Text
NONE = Text("-", style="dim")
"""What a table shows where there is nothing."""


class Output:
    """Prints what a command found: for people, or with `as_json` as one JSON document on stdout.

    Text from photos' names, labels and the server is shown as it is and can't give the terminal commands.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out = _console(stderr=False)
        self._err = _console(stderr=True)

    @property
    def for_people_at_a_terminal(self) -> bool:
        """Whether something that moves, such as a progress bar on stderr, would be seen by a person."""
        return self._err.is_terminal

    @property
    def error_console(self) -> Console:
        """Where progress goes."""
        return self._err

    def document(self, content: Mapping[str, Any]) -> None:
        """Print the JSON document of this run; only with `as_json`, and only once."""
        json.dump(content, sys.stdout, indent=2)
        sys.stdout.write("\n")

    def line(self, *parts: Cell) -> None:
        """Print one line for people."""
        if not self.as_json:
            self._out.print(Text.assemble(*(_safe(part) for part in parts)))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, title: str = "") -> None:
        """Print a table for people. Columns whose name begins with `>` are aligned to the right."""
        if self.as_json:
            return
        if title:
            self._out.print(Text(title, style="bold"))
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for column in columns:
            right = column.startswith(">")
            # Folded rather than cut off: an id or a file's name is of no use without its end.
            table.add_column(
                column.removeprefix(">"), justify="right" if right else "left", no_wrap=right, overflow="fold"
            )
        for row in rows:
            table.add_row(*(_safe(cell) for cell in row))
        self._out.print(table)

    def facts(self, facts: Mapping[str, Cell]) -> None:
        """Print names and values, one a line, for people."""
        if self.as_json:
            return
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in facts.items():
            table.add_row(name, _safe(value))
        self._out.print(table)

    def note(self, text: str) -> None:
        """Say something, which may have several lines, on stderr: no error and no result."""
        for line in text.splitlines():
            self._err.print(Text(printable(line), style="yellow"))

    def complain(self, text: str, *, hint: str = "") -> None:
        """Print one red line on stderr, and what to do."""
        line = Text.assemble((printable(text), "bold red"))
        if hint:
            line.append(f" ({printable(hint)})")
        self._err.print(line)

    def failure(self, error: GerbangError, *, about: str = "") -> None:
        """Say on stderr why a call (`about` one of several things) failed, and what to do."""
        line = failure_line(error)
        self.complain(f"{about}: {line}" if about else line, hint=advice(error))

    def proposed(self, error: SecondPersonNeeded) -> None:
        """Say that a change was not made, and how another person makes it."""
        number = error.proposal_id
        self.complain(
            f"not done: proposed, {number}; another person confirms it with 'gerbang proposal confirm {number}'"
        )
        if self.as_json:
            self.document({"error": error_document(error)})

    def fatal(self, error: GerbangError, *, about: str = "") -> None:
        """Say that the command failed: on stderr, and with `as_json` as the document. `about`: as of `failure`."""
        self.failure(error, about=about)
        if self.as_json:
            self.document({"error": error_document(error)})


def failure_line(error: GerbangError) -> str:
    """Put a failure in one line: `NO_FACE: no face was found`; without a reason the message names the server."""
    if error.reason == StartupError.reason:
        return f"Error: {error.message}"  # of this command itself; there was nothing to start
    if error.reason:
        return f"{error.reason}: {error.message}"
    unreachable = _UNREACHABLE.fullmatch(error.message)
    return f"{unreachable[1]} can't be reached: {unreachable[2]}" if unreachable else error.message


def printable(text: str) -> str:
    """Return the text with everything that could steer a terminal, such as escape sequences, made visible."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def labels_text(labels: Mapping[str, str]) -> str:
    """Put labels in one line, by key."""
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))


def time_text(message: Any, field: str) -> Cell:  # noqa: ANN401 - any message with that Timestamp field
    """Return a point in time in UTC, to the second; a dash when the field is absent."""
    if not message.HasField(field):
        return NONE
    stamp: Timestamp = getattr(message, field)
    return f"{datetime.fromtimestamp(stamp.seconds, UTC):%Y-%m-%d %H:%M:%S}Z"


def listed(names: Iterable[str]) -> Cell:
    """Put names in one cell; a dash for none."""
    return ", ".join(names) or NONE


def counted(number: int, thing: str) -> str:
    """Put a number before what is counted: `1 file`, `2 files`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _safe(cell: Cell) -> Text:
    if isinstance(cell, str):
        return Text(printable(cell))
    plain = printable(cell.plain)
    return cell if plain == cell.plain else Text(plain, style=cell.style)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    return console
