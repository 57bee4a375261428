"""Misses against throughput: the engine's plans beside hnswlib alone, faiss's flat index and a matrix product.

`python -m benchmarks.recall --gallery facelike --size 100000`: one process, one thread, one run.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import faiss
from benchmarks.chart import recall_chart
from benchmarks.contenders import THICK, THIN, FlatPeer, HnswPeer, HnswSettings, ProductPeer
from benchmarks.engine import Engine, Variant
from benchmarks.galleries import Probes, Workload, workload
from benchmarks.machine import describe, with_one_thread
from benchmarks.measuring import Contender, Misses, latency, missed, race

from gerbang_service.domain.questions import Plan

RESULTS = Path(__file__).resolve().parent / "results"
RESCORED = (8, 16, 32, 64, 128)
EFS = (64, 256, 1024, 2048, 4096)
# Probes that each point of the grid and each setting of hnswlib is measured with; the defaults get all.
GRID_PROBES = 1000


def main() -> None:
    """Measure, print, and write JSON and SVG to benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gallery", choices=("facelike", "isotropic", "real"), default="facelike")
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--probes", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="the defaults only, beside exact comparison")
    parser.add_argument("--thin-only", action="store_true", help="leave out the index that takes longest to build")
    parser.add_argument("--no-chart", action="store_true")
    wanted = parser.parse_args()
    with_one_thread()
    faiss.omp_set_num_threads(1)
    work = workload(wanted.gallery, wanted.size, wanted.probes)
    result = Measurement(work, f"{wanted.gallery}-{wanted.size}", wanted.quick, wanted.thin_only).run()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"recall-{wanted.gallery}-{wanted.size}{'-quick' if wanted.quick else ''}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    if not wanted.quick and not wanted.no_chart:
        path.with_suffix(".svg").write_text(recall_chart(result))
    print(f"wrote {path.name}")


class Measurement:
    """One run over one workload."""

    def __init__(self, work: Workload, key: str, quick: bool, thin_only: bool) -> None:  # noqa: FBT001
        self._work = work
        self._key = key
        self._quick = quick
        self._bits = 512 if work.templates.shape[1] >= 256 else 1024
        self._engine = Engine(work.templates, (self._bits,) if quick else (512, 1024))
        self._peers: tuple[HnswSettings, ...] = () if quick else (THIN,)
        if not quick and not thin_only:
            self._peers = (THIN, THICK)
        left_out = [each.name for each in (THIN, THICK) if each not in self._peers]
        self._left_out = [f"{name}: its index takes too long to build here" for name in left_out]
        print(
            f"{key}: {work.templates.shape}, sketches {self._engine.sketch_s:.1f} s, graph {self._engine.graph_s:.1f} s"
        )

    def run(self) -> dict[str, Any]:
        """Measure everything and return what goes into the JSON file."""
        defaults: dict[Plan, Variant] = {
            plan: Variant(plan, self._bits, 32, 64 if plan is Plan.GRAPH else 16)
            for plan in Plan
            if plan is not Plan.EXACT
        }
        recall = [self._all_probes(variant) for variant in defaults.values()]
        grid = [] if self._quick else [self._grid_point(variant) for variant in self._grid()]
        racers = [self._contender(variant, plan.value) for plan, variant in defaults.items()]
        hnsw, equals = self._hnsw(defaults)
        racers += [*equals, Contender("faiss IndexFlatIP", FlatPeer(self._work.templates).answer)]
        racers.append(Contender("matrix product", ProductPeer(self._work.templates).answer))
        raced = race(racers, self._first.probes)
        singles = {
            plan.value: latency(self._contender(each, plan.value), self._first.probes)
            for plan, each in defaults.items()
        }
        result = {
            "gallery": self._key,
            "shape": list(self._work.templates.shape),
            "probes": {
                each.name: {"made": each.made, "mate_is_exact_top1": len(each.mates)} for each in self._work.probe_sets
            },
            "floor": self._work.floor,
            "defaults": recall,
            "grid": grid,
            "hnswlib": hnsw,
            "race": raced,
            "ratios": ratios(raced),
            "single_search_us": singles,
            "left_out": self._left_out,
            "build_s": {"sketches": round(self._engine.sketch_s, 1), "graph": round(self._engine.graph_s, 1)},
            "machine": describe(),
        }
        print(json.dumps({name: result[name] for name in ("race", "ratios", "single_search_us")}, indent=1))
        return result

    @property
    def _first(self) -> Probes:
        return self._work.probe_sets[0]

    def _grid(self) -> list[Variant]:
        points = [Variant(Plan.GRAPH, self._bits, 8, ef) for ef in (16, 64, 256, 1024)]
        for bits in (512, 1024):
            for rescored in RESCORED:
                points.append(Variant(Plan.SWEEP, bits, rescored, 16))
                points += [Variant(Plan.BOTH, bits, rescored, ef) for ef in (16, 64)]
        return points

    def _contender(self, variant: Variant, name: str = "") -> Contender:
        return Contender(name or variant.name, self._engine.searcher(variant, self._work.floor).answer)

    def _all_probes(self, variant: Variant) -> dict[str, Any]:
        return self._point(variant, len(self._first.mates))

    def _grid_point(self, variant: Variant) -> dict[str, Any]:
        return self._point(variant, GRID_PROBES)

    def _point(self, variant: Variant, most: int) -> dict[str, Any]:
        contender = self._contender(variant)
        found = {each.name: missed(contender, each, most) for each in self._work.probe_sets}
        _print(contender.name, found)
        return {
            "name": contender.name,
            "plan": variant.plan.value,
            "bits": variant.bits,
            "rescored": variant.rescored,
            "ef": variant.ef,
            "missed": {name: asdict(each) for name, each in found.items()},
        }

    def _hnsw(self, defaults: dict[Plan, Variant]) -> tuple[list[dict[str, Any]], list[Contender]]:
        """Widen hnswlib's search until it misses no more than plan both; return the curve and each index's last two."""
        points, equals = [], []
        goal = missed(self._contender(defaults[Plan.BOTH]), self._first, GRID_PROBES).rate
        for settings in self._peers:
            peer = HnswPeer(self._key, self._work.templates, settings)
            tried: list[Contender] = []
            for ef in EFS:
                peer.set_ef(ef)
                contender = Contender(f"{settings.name} ef={ef}", peer.answer, lambda ef=ef, peer=peer: peer.set_ef(ef))  # type: ignore[misc]
                found = missed(contender, self._first, GRID_PROBES, give_up=20)
                _print(contender.name, {self._first.name: found})
                equal = found.rate <= goal
                points.append(
                    {"index": settings.name, "ef": ef, "build_s": peer.build_s, "equal": equal, **asdict(found)}
                )
                tried.append(contender)
                if equal:
                    break
            equals += tried[-2:]
        return points, equals


def ratios(raced: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return how many times as fast as each peer the plans are."""
    rates = {name: each["per_s"] for name, each in raced.items()}
    plans = ("both", "sweep", "graph")
    return {
        plan: {name: round(rates[plan] / rate, 1) for name, rate in rates.items() if name not in plans}
        for plan in plans
    }


def _print(name: str, found: dict[str, Misses]) -> None:
    texts = [f"{key}: {each.missed}/{each.probes} missed, {each.per_s:.0f}/s" for key, each in found.items()]
    print(f"{name:42} " + "   ".join(texts), flush=True)


if __name__ == "__main__":
    main()
