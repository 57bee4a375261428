"""Of strangers who are on no list, the share that Identify stops, beside the share that was asked for.

`python -m benchmarks.false_positives`: with the photographs and the pack of the tests (GERBANG_TEST_FACES and
GERBANG_TEST_PACK). The people are parted in five. Each part's photographs are strangers in turn: the points that the
threshold follows, and the people on the list, one photograph each, are of the other four parts, so that nothing is
fitted on who is measured. A list of more people than there are is filled up with distractors, drawn with the mean and
the covariance of those four parts' templates. Strangers are looked for by the gallery of the service, under its rule
for the target. The intervals are of 95 %, by bootstrap over people (10,000 times), since photographs of one person are
not independent. With --fixed a threshold is measured in place of targets.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.galleries import real_templates
from benchmarks.machine import describe
from numpy.typing import NDArray

from gerbang_service.domain.changes import SubjectPut, WatchlistPut
from gerbang_service.domain.false_matches import FalseMatchRates, Point
from gerbang_service.domain.questions import Answer, OnLists, Plan, Question
from gerbang_service.domain.subjects import Subject, TemplateInfo
from gerbang_service.domain.thresholds import Rule, Threshold
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.gallery.options import GalleryOptions

RESULTS = Path(__file__).resolve().parent / "results" / "false-positives.json"
SIZES = (300, 1000, 3000)
TARGETS = (0.01, 0.001)
PARTS = 5
# Pairs of two people that a point has behind it at least.
PAIRS = 20
_RATES = (1e-2, 1e-3, 1e-4, 1e-5)
_BOOTSTRAPS = 10_000
_AT_ONCE = 64

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Photographs:
    """Templates, float32 (n, dimension), unit rows, and whose each is, int64 (n,)."""

    vectors: Vectors
    people: NDArray[np.int64]

    def of(self, people: NDArray[np.int64]) -> Photographs:
        """Return those of some people."""
        chosen = np.isin(self.people, people)
        return Photographs(self.vectors[chosen], self.people[chosen])


def main() -> None:
    """Measure, print a table, and write it to benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fixed", type=float, nargs="*", default=[], help="fixed thresholds, in place of targets")
    wanted = parser.parse_args()
    vectors, numbers = real_templates()
    everybody = Photographs(vectors, numbers)
    order = np.random.default_rng(0).permutation(np.unique(numbers))
    parts = np.array_split(order, PARTS)
    print(f"{len(vectors)} photographs of {len(order)} people")
    rows = []
    for size in SIZES:
        for asked in wanted.fixed or TARGETS:
            found = []
            for turn, part in enumerate(parts):
                others = everybody.of(np.setdiff1d(order, part))
                rates = fitted(others)
                rule = Rule(asked, None, rates) if wanted.fixed else Rule(None, asked, rates)
                listed = _listed(others, size, np.random.default_rng(turn))
                found.append(_part(everybody.of(part), listed, rule))
            rows.append(_row(size, asked, found))
            print(_line(rows[-1], fixed=bool(wanted.fixed)))
    if not wanted.fixed:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps({"machine": describe(), "rows": rows}, indent=1) + "\n")


@dataclass(frozen=True, slots=True)
class _Part:
    """What became of strangers: whose photographs they are, which were stopped, and by which threshold."""

    people: NDArray[np.int64]
    stopped: NDArray[np.bool_]
    threshold: Threshold


def _part(strangers: Photographs, listed: Vectors, rule: Rule) -> _Part:
    answers = list(_answers(_gallery(listed), rule, strangers.vectors))
    return _Part(strangers.people, np.array([bool(each.candidates) for each in answers]), answers[0].basis)


def fitted(photographs: Photographs) -> FalseMatchRates:
    """Return the points of these photographs: all pairs of two people, and the lowest rate that PAIRS of them have."""
    similarities = photographs.vectors @ photographs.vectors.T
    different = np.triu(photographs.people[:, None] != photographs.people, 1)
    impostors = np.sort(similarities[different])[::-1]
    counts = [*(round(rate * len(impostors)) for rate in _RATES), PAIRS]
    counts = sorted({each for each in counts if each >= PAIRS}, reverse=True)
    source = f"{len(impostors):,} pairs"
    return FalseMatchRates(
        tuple(Point(count / len(impostors), float(impostors[count - 1]), source) for count in counts)
    )


def _listed(others: Photographs, size: int, random: np.random.Generator) -> Vectors:
    """Return the templates of a list: a photograph of each of so many people, drawn at random, then distractors."""
    shuffled = random.permutation(len(others.people))
    _, first = np.unique(others.people[shuffled], return_index=True)
    real = others.vectors[random.permutation(shuffled[first])[:size]]
    wide = others.vectors.astype(np.float64)
    drawn = random.multivariate_normal(wide.mean(axis=0), np.cov(wide, rowvar=False), size - len(real), method="eigh")
    distractors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return np.concatenate([real, distractors])


def _gallery(templates: Vectors) -> Gallery:
    gallery = Gallery(templates.shape[1], len(templates), GalleryOptions())
    changes: list[WatchlistPut | SubjectPut] = [WatchlistPut(1, Watchlist("list"))]
    for number, vector in enumerate(templates, start=1):
        subject = Subject(f"s{number}", ("list",), templates=(TemplateInfo(number, "m", 0, None),))
        changes.append(SubjectPut(1 + number, subject, {number: vector}))
    gallery.apply(changes, len(changes))
    return gallery


def _answers(gallery: Gallery, rule: Rule, probes: Vectors) -> Iterator[Answer]:
    for start in range(0, len(probes), _AT_ONCE):
        block = probes[start : start + _AT_ONCE]
        for asked in gallery.search([Question(each, OnLists(rule), 1, Plan.SWEEP) for each in block]):
            if not isinstance(asked, Answer):
                raise asked
            yield asked


def _row(size: int, asked: float, parts: Sequence[_Part]) -> dict[str, Any]:
    people = np.concatenate([each.people for each in parts])
    stopped = np.concatenate([each.stopped for each in parts])
    _, whose = np.unique(people, return_inverse=True)
    photographs = np.bincount(whose)
    hits = np.bincount(whose, stopped)
    random = np.random.default_rng(1)
    drawn = random.multinomial(len(photographs), np.full(len(photographs), 1 / len(photographs)), size=_BOOTSTRAPS)
    low, high = np.percentile((drawn @ hits) / (drawn @ photographs), (2.5, 97.5))
    thresholds = [each.threshold for each in parts]
    return {
        "size": size,
        "asked": asked,
        "thresholds": [round(each.cosine, 4) for each in thresholds],
        "shown": [not each.target_not_shown for each in thresholds],
        "expected": [each.expected_fpir for each in thresholds],
        "stopped": int(stopped.sum()),
        "strangers": len(stopped),
        "people_stopped": int((hits > 0).sum()),
        "fpir": float(stopped.mean()),
        "low": float(low),
        "high": float(high),
    }


def _line(row: dict[str, Any], *, fixed: bool) -> str:
    """Return a row of the table in docs/quality.md."""
    cosines, known = row["thresholds"], [each for each in row["expected"] if each is not None]
    cells = [f"{row['size']:,}", f"{row['asked']:g}", f"{min(cosines):.3f} to {max(cosines):.3f}"]
    cells.append(f"{np.mean(known):.4f}" if known else "not known")
    cells.append(f"{row['fpir']:.4f} ({row['low']:.4f} to {row['high']:.4f})")
    cells.append(f"{row['stopped']:,} of {row['strangers']:,}")
    if not fixed:
        cells.append(f"{sum(row['shown'])} of {PARTS}")
        cells.append(
            "yes" if row["high"] <= row["asked"] else "within the interval" if row["low"] <= row["asked"] else "no"
        )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
