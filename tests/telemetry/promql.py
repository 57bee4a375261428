"""Which labels the result of a PromQL expression has: enough of the language for the rules and panels of deploy/.

Prometheus itself does not complain of two sides that have no labels in common: they match nothing, for ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

# None: a scalar.
Labels: TypeAlias = frozenset[str] | None

_TOKEN = re.compile(
    r"""\s*(?: (?P<string>"[^"]*") | (?P<range>\[[^\]]*\]) | (?P<number>[0-9][0-9.eE]*[smhd]?)
    | (?P<name>[A-Za-z_]\w*) | (?P<operator>==|!=|>=|<=|=~|!~|[-+*/%<>=(){},]) )""",
    re.VERBOSE,
)
# From the loosest to the tightest; all are left-associative.
_BINARY = (("or",), ("and", "unless"), ("==", "!=", ">", "<", ">=", "<="), ("+", "-"), ("*", "/", "%"))
_SETS = ("or", "and", "unless")
_AGGREGATIONS = ("sum", "max", "min", "avg", "count")


class WrongLabels(ValueError):
    """The sides of an operator do not match, or a label is asked for that is not there."""


def labels_of(expression: str, series: Callable[[str], frozenset[str]]) -> Labels:
    """Return the labels of a result. `series`: those of a metric. Raises WrongLabels."""
    parser = _Parser(expression, series)
    labels = parser.binary(0)
    parser.expect("")
    return labels


class _Parser:
    def __init__(self, text: str, series: Callable[[str], frozenset[str]]) -> None:
        self._text = text
        self._series = series
        self._tokens, end = [], 0
        while match := _TOKEN.match(text, end):
            self._tokens.append(match.group().strip())
            end = match.end()
        assert not text[end:].strip(), f"not understood: {text[end:]}"
        self._tokens.append("")

    def expect(self, token: str) -> None:
        assert self._tokens[0] == token, f"{self._text}: {self._tokens[0]} instead of {token}"
        self._next()

    def _next(self) -> str:
        return self._tokens.pop(0) if self._tokens[0] else ""

    def _take(self, *tokens: str) -> str:
        return self._next() if self._tokens[0] in tokens else ""

    def binary(self, level: int) -> Labels:
        if level == len(_BINARY):
            return self._unary()
        left = self.binary(level + 1)
        while operator := self._take(*_BINARY[level]):
            on = self._names() if self._take("on") else None
            left = self._joined(operator, left, on, self.binary(level + 1))
        return left

    def _joined(self, operator: str, left: Labels, on: frozenset[str] | None, right: Labels) -> Labels:
        if left is None or right is None:
            return right if left is None else left
        if on is None and left != right:
            raise WrongLabels(f"{operator}: {sorted(left)} with {sorted(right)} in {self._text}")
        if on is not None and not on <= left & right:
            raise WrongLabels(f"{operator} on {sorted(on)}: {sorted(left)} with {sorted(right)} in {self._text}")
        return left if on is None or operator in _SETS else on

    def _unary(self) -> Labels:
        token = self._next()
        if token == "-":
            return self._unary()
        if token == "(":
            labels = self.binary(0)
            self.expect(")")
            return labels
        if token[0].isdigit() or token[0] == '"':
            return None
        if token in _AGGREGATIONS:
            return self._aggregated()
        if self._take("("):
            return self._called(token)
        return self._selected(token)

    def _aggregated(self) -> Labels:
        by = self._names() if self._take("by") else frozenset[str]()
        self.expect("(")
        labels = self.binary(0)
        self.expect(")")
        if labels is None or not by <= labels:
            raise WrongLabels(f"by {sorted(by)}: {labels and sorted(labels)} in {self._text}")
        return by

    def _called(self, function: str) -> Labels:
        labels: Labels = None
        while not self._take(")"):
            argument = self.binary(0)
            labels = argument if labels is None else labels
            self._take(",")
        if function == "scalar":
            return None
        if function != "histogram_quantile":
            return labels
        if labels is None or "le" not in labels:
            raise WrongLabels(f"{function} needs le in {self._text}")
        return labels - {"le"}

    def _selected(self, name: str) -> Labels:
        labels = self._series(name)
        if self._take("{"):
            while not self._take("}"):
                if (label := self._next()) not in labels:
                    raise WrongLabels(f"{name} has no {label} in {self._text}")
                self._next()
                self._next()
                self._take(",")
        if self._tokens[0].startswith("["):
            self._next()
        if self._take("offset"):
            self._next()
        return labels

    def _names(self) -> frozenset[str]:
        self.expect("(")
        names = set()
        while not self._take(")"):
            names.add(self._next())
            self._take(",")
        return frozenset(names)
