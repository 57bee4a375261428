"""What must not grow with the gallery: filters, small lists, low thresholds, changes, deleting a list, many lists.

`python -m benchmarks.growth --size 1000000`: one gallery in this process, one thread that searches, no graph but where
said. Things that are compared take turns within the run.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from benchmarks.galleries import DIMENSION, Vectors, facelike, facelike_probes, facelike_probes_of
from benchmarks.machine import describe, with_one_thread
from benchmarks.measuring import percentiles

from gerbang_service.domain.changes import SubjectPut, WatchlistGone, WatchlistPut
from gerbang_service.domain.questions import Answer, OnLists, Plan, Question
from gerbang_service.domain.subjects import StoredSubject, Subject, TemplateInfo
from gerbang_service.domain.thresholds import Rule
from gerbang_service.domain.watchlists import Watchlist
from gerbang_service.gallery.gallery import Gallery
from gerbang_service.gallery.options import GalleryOptions
from gerbang_service.store.port import Contents

RESULTS = Path(__file__).resolve().parent / "results"
FILTERS = 100
SMALL = 200
TINY = 100
_BATCH = 8192
_THRESHOLD = 0.4
_ROUNDS = 5


def main() -> None:
    """Measure, print, and write benchmarks/results/growth.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--searches", type=int, default=500, help="in each turn")
    wanted = parser.parse_args()
    with_one_thread()
    faiss.omp_set_num_threads(1)
    templates = facelike(wanted.size)
    probes, _ = facelike_probes(templates, wanted.searches, 0.5)
    result: dict[str, Any] = {"size": wanted.size, "lists_at_start": many_lists(templates[:100_000])}
    gallery, took_s = loaded(templates, lists_of_filters)
    result["load_s"] = round(took_s, 1)
    for name, measured in (
        ("filters", filters(gallery, probes)),
        ("missed_behind_filters", missed(gallery, templates)),
        ("small_list", small_list(gallery, probes)),
        ("low_threshold", low_threshold(gallery, probes)),
        ("one_by_one", one_by_one(gallery)),
        ("deleted_list", deleted_list(gallery, probes)),
    ):
        result[name] = measured
        print(json.dumps({name: measured}), flush=True)
    result["machine"] = describe()
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "growth.json").write_text(json.dumps(result, indent=1) + "\n")


def lists_of_filters(number: int) -> tuple[str, ...]:
    """Return a subject's lists: one of FILTERS; `small` for SMALL of all, `tiny` for TINY; else perhaps `tenth`."""
    more: tuple[str, ...] = ("tenth",) if number % 10 == 0 else ()
    if number < SMALL:
        more = ("small", "tiny") if number < TINY else ("small",)
    return tuple(sorted((f"f{number % FILTERS:02}", *more)))


def loaded(templates: Vectors, lists_of: Callable[[int], tuple[str, ...]]) -> tuple[Gallery, float]:
    """Return a gallery of one template a subject, and the seconds that loading took."""
    names = sorted({name for number in range(len(templates)) for name in lists_of(number)})
    gallery = Gallery(DIMENSION, len(templates), GalleryOptions())

    def subjects() -> Iterator[StoredSubject]:
        for each in range(len(templates)):
            yield StoredSubject(each, f"s{each}", lists_of(each), None, None, {})

    def batches() -> Iterator[list[tuple[int, int, bytes]]]:
        for start in range(0, len(templates), _BATCH):
            yield [(start + i, start + i, v.tobytes()) for i, v in enumerate(templates[start : start + _BATCH])]

    started = time.perf_counter()
    gallery.load(Contents(1, [Watchlist(each) for each in names], subjects(), batches()))
    return gallery, time.perf_counter() - started


def many_lists(templates: Vectors) -> dict[str, Any]:
    """Load the same people on one list, and on 10,000 lists, in turns."""
    takes: dict[int, list[float]] = {1: [], 10_000: []}
    for _ in range(3):
        for count, seconds in takes.items():
            seconds.append(loaded(templates, lambda number, count=count: (f"l{number % count}",))[1])  # type: ignore[misc]
    return {"seconds": takes, "ratio": _ratio(takes[10_000], takes[1])}


def _ratio(one: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """Return median, least and most of how many times as much one is as the other, turn by turn."""
    ratios = np.array(one) / np.array(other)
    return {"median": float(np.median(ratios)), "least": float(ratios.min()), "most": float(ratios.max())}


def ask(gallery: Gallery, probe: Vectors, *names: str, plan: Plan = Plan.SWEEP) -> float:
    """Return the seconds that one search took."""
    question = Question(probe, OnLists(Rule(_THRESHOLD), names), 5, plan)
    started = time.perf_counter()
    (asked,) = gallery.search([question])
    took_s = time.perf_counter() - started
    if not isinstance(asked, Answer):
        raise asked
    return took_s


def per_s(gallery: Gallery, probes: Vectors, names: Callable[[int], tuple[str, ...]]) -> float:
    """Return searches a second, one after the other."""
    started = time.perf_counter()
    for number, probe in enumerate(probes):
        ask(gallery, probe, *names(number))
    return len(probes) / (time.perf_counter() - started)


def filters(gallery: Gallery, probes: Vectors) -> dict[str, Any]:
    """Search one list again and again, and FILTERS lists in turn."""
    one: list[float] = []
    many: list[float] = []
    for number in range(FILTERS):
        ask(gallery, probes[0], f"f{number:02}")
    for _ in range(_ROUNDS):
        one.append(per_s(gallery, probes, lambda _: ("f00",)))
        many.append(per_s(gallery, probes, lambda number: (f"f{number % FILTERS:02}",)))
    return {"one_per_s": one, "many_per_s": many, "ratio": _ratio(many, one)}


def missed(gallery: Gallery, templates: Vectors) -> dict[str, Any]:
    """Search lists of a hundredth and of TINY people for their members; count whom exact comparison alone finds."""
    members = {"f00": np.arange(0, len(templates), FILTERS), "tiny": np.arange(TINY)}
    found: dict[str, Any] = {}
    for name, rows in members.items():
        for similarity in (0.5, 0.4):
            mates = np.random.default_rng(6).choice(rows, min(1000, len(rows)), replace=False)
            probes = facelike_probes_of(templates, mates, similarity)
            plans = [answers(gallery, probes, name, plan) for plan in (Plan.BOTH, Plan.EXACT)]
            lost = sum(
                mate in exactly[:1] and mate not in both for mate, both, exactly in zip(mates, *plans, strict=True)
            )
            found[f"{name} at {similarity}"] = {"probes": len(mates), "missed": lost}
    return found


def answers(gallery: Gallery, probes: Vectors, name: str, plan: Plan) -> list[list[int]]:
    """Return the template ids of each probe's candidates."""
    found: list[list[int]] = []
    for start in range(0, len(probes), 32):
        questions = [Question(each, OnLists(Rule(0.2), (name,)), 5, plan) for each in probes[start : start + 32]]
        for asked in gallery.search(questions):
            if not isinstance(asked, Answer):
                raise asked
            found.append([each.template_id for each in asked.candidates])
    return found


def small_list(gallery: Gallery, probes: Vectors) -> dict[str, float]:
    """Search a list of SMALL people."""
    return percentiles([ask(gallery, probe, "small", plan=Plan.BOTH) for probe in probes])


def low_threshold(gallery: Gallery, probes: Vectors) -> dict[str, Any]:
    """Search all lists, without and with a list of threshold 0 that one person is on."""
    vector = facelike(1, seed=9)[0]
    without: list[float] = []
    with_it: list[float] = []
    for _ in range(_ROUNDS):
        without.append(per_s(gallery, probes, lambda _: ()))
        revision = gallery.revision
        gallery.apply([WatchlistPut(revision + 1, Watchlist("low", threshold=0.0))], revision + 1)
        gallery.apply([_put(revision + 2, "low", 10**9, vector, "low")], revision + 2)
        ask(gallery, probes[0])
        with_it.append(per_s(gallery, probes, lambda _: ()))
        gallery.apply([WatchlistGone(revision + 3, "low")], revision + 3)
        ask(gallery, probes[0])
    return {"without_per_s": without, "with_per_s": with_it, "ratio": _ratio(with_it, without)}


def one_by_one(gallery: Gallery) -> dict[str, Any]:
    """Enrol one by one: what a change costs who makes it, and the graph's thread as it follows."""
    fresh = facelike(2000, seed=3)
    gallery.start()
    # The graph is far behind in a gallery that was just loaded: what it does for these changes alone is not told.
    times = []
    for number, vector in enumerate(fresh):
        revision = gallery.revision + 1
        change = _put(revision, f"new{number}", 2 * 10**9 + number, vector, "f00")
        started = time.thread_time()
        gallery.apply([change], revision)
        times.append(time.thread_time() - started)
    gallery.stop()
    return percentiles(times)


def deleted_list(gallery: Gallery, probes: Vectors) -> dict[str, Any]:
    """Delete a list of a tenth of the gallery while somebody searches all lists."""
    took: list[float] = []
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            took.append(ask(gallery, probes[len(took) % len(probes)]))

    thread = threading.Thread(target=search)
    thread.start()
    time.sleep(1)
    before = len(took)
    revision = gallery.revision + 1
    started = time.perf_counter()
    gallery.apply([WatchlistGone(revision, "tenth")], revision)
    change_ms = 1000 * (time.perf_counter() - started)
    time.sleep(1)
    done.set()
    thread.join()
    return {
        "change_ms": round(change_ms, 3),
        "longest_search_before_ms": round(1000 * max(took[:before]), 1),
        "longest_search_after_ms": round(1000 * max(took[before:]), 1),
    }


def _put(revision: int, name: str, template_id: int, vector: Vectors, *lists: str) -> SubjectPut:
    subject = Subject(name, lists, templates=(TemplateInfo(template_id, "m", 0, None),))
    return SubjectPut(revision, subject, {template_id: vector})


if __name__ == "__main__":
    main()
