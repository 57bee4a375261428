"""Who takes part, and what is tried of each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contest.contenders import Command, Contender, DatabaseContender, Options, Serving, WireContender
from benchmarks.contest.standings import NO_OP, OURS
from benchmarks.contest.tuning import Entry
from benchmarks.galleries import CACHE, Vectors
from benchmarks.loading import decks
from benchmarks.loading.decks import Deck
from benchmarks.loading.serving import wait_for_graph
from benchmarks.scale import fill

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from running import KEY

HNSWLIB, FLAT = "hnswlib-only service", "float32 flat service"
PGVECTOR, MILVUS, MILVUS_CPP = "pgvector", "Milvus Lite 3 (Python)", "Milvus Lite 2.5 (C++)"
NAMES = (NO_OP, OURS, HNSWLIB, FLAT, PGVECTOR, MILVUS, MILVUS_CPP)
# Which peers have packages of their own, and the name of their requirements.
ENVIRONMENTS = {PGVECTOR: "pgvector", MILVUS: "milvus-lite", MILVUS_CPP: "milvus-lite-cpp"}
BATCH = 64
# Beyond 100 calls that it has not begun, a server refuses some.
_IN_FLIGHT = {1: (16, 32, 64), BATCH: (2, 4, 8)}
SIMILARITY = 0.5
LEFT_OUT_WHEN_QUICK = "pgvector's HNSW over halfvec and over signs, Milvus Lite 3's HNSW: each takes long to build"


@dataclass(frozen=True, slots=True)
class Ground:
    """What all get.

    key: the gallery's name in the cache. count: of probes, at SIMILARITY to their mates. folder: a spare one. quick:
    indexes that take a quarter of an hour and more to build are left out.
    """

    key: str
    templates_file: Path
    probes_file: Path
    templates: Vectors
    count: int
    folder: Path
    quick: bool


class _Gerbang(WireContender):
    """`gerbang serve` as users start it, once its graph is built."""

    def __init__(self, data: Path, wanted: Mapping[int, Deck]) -> None:
        super().__init__(OURS, wanted)
        self._data = data

    def command(self, options: Options) -> Command:
        """Return the command line with its options by name."""
        chosen = [each for name, value in options.items() for each in (f"--{name}", str(value))]
        serve = [sys.executable, "-m", "gerbang_service.cli", "serve", "--listen", "127.0.0.1:0", "--pack", "none"]
        return Command([*serve, "--data", str(self._data), "--threshold", "0.4", *chosen], {"GERBANG_KEY": KEY})

    def started(self, address: str) -> None:
        """Wait for the graph."""
        wait_for_graph(address)


def entry(name: str, ground: Ground, python: Path | None) -> Entry:
    """Start a contender, as far as it is the same under all settings. `python`: of its own environment.

    Raises Unable when it does not start.
    """
    makers: Mapping[str, Callable[[], Entry]] = {
        NO_OP: lambda: _no_op(ground),
        OURS: lambda: _ours(ground),
        HNSWLIB: lambda: Entry(_service(HNSWLIB, ground), _hnswlib_ladders(), {1: (2, 8, 32), BATCH: (1, 2, 4)}),
        FLAT: lambda: Entry(_service(FLAT, ground), _flat_ladders(), {1: (16, 32, 64), BATCH: (1, 2, 4)}),
        PGVECTOR: lambda: Entry(
            _database(PGVECTOR, "pgvector_peer", ground, python), _pgvector_ladders(quick=ground.quick), {1: (2, 4)}
        ),
        MILVUS: lambda: _milvus(MILVUS, ground, python),
        MILVUS_CPP: lambda: _milvus(MILVUS_CPP, ground, python),
    }
    return makers[name]()


def _no_op(ground: Ground) -> Entry:
    silent = Serving(NO_OP, "benchmarks.noop", ["--listen", "127.0.0.1:0"], _decks(ground), checked=False)
    return Entry(silent, [[{}]], _IN_FLIGHT)


def _ours(ground: Ground) -> Entry:
    data = ground.folder / "data"
    fill(data, ground.templates)
    return Entry(_Gerbang(data, _decks(ground)), [[{"plan": "both"}]], _IN_FLIGHT)


def _milvus(name: str, ground: Ground, python: Path | None) -> Entry:
    ladders = _milvus_ladders(quick=ground.quick)
    return Entry(_database(name, "milvus_peer", ground, python), ladders, {1: (1, 2, 4), BATCH: (1, 2)})


def _hnswlib_ladders() -> list[list[Options]]:
    widths = (512, 1024, 1536, 2048, 3072, 4096)
    return [[{"engine": "hnswlib", "threads": threads, "ef": ef} for ef in widths] for threads in (2, 4)]


def _flat_ladders() -> list[list[Options]]:
    engines = ("faiss-flat", "matrix-product")
    return [[{"engine": engine, "threads": threads}] for engine in engines for threads in (1, 2)]


def _pgvector_ladders(*, quick: bool) -> list[list[Options]]:
    # Beyond 1,000, pgvector's limit of ef_search, the scan goes on until it has so many.
    widths = (600, 1000, 1500, 2000, 3000, 4000)
    tables = ("faces",) if quick else ("faces", "halves")
    graphs: list[list[Options]] = [[{"search": "hnsw", "table": each, "ef": ef} for ef in widths] for each in tables]
    exact: list[list[Options]] = [
        [{"search": "exact", "table": table, "workers": workers}]
        for table, workers in (("faces", 0), ("faces", 2), ("halves", 0))
    ]
    # The way of its documentation: near by the signs alone, then compared exactly.
    sketches: list[list[Options]] = [
        [{"search": "sketches", "rescored": rescored} for rescored in (50, 100, 200, 500)],
    ]
    if not quick:
        sketches.append([{"search": "sketches-hnsw", "rescored": rescored} for rescored in (200, 500, 1000)])
    return [*graphs, *exact, *sketches]


def _milvus_ladders(*, quick: bool) -> list[list[Options]]:
    # Without one of its own, an index has 128 lists.
    ladders: list[list[Options]] = [
        [{"index": "FLAT"}],
        [{"index": "IVF_FLAT", "search": {"nprobe": nprobe}} for nprobe in (112, 128)],
    ]
    if not quick:
        build = {"M": 32, "efConstruction": 400}
        ladders.append([{"index": "HNSW", "build": build, "search": {"ef": ef}} for ef in (1024, 2048, 3072, 4096)])
    return ladders


def _service(name: str, ground: Ground) -> Serving:
    arguments = ["--gallery", ground.key, "--templates", str(ground.templates_file)]
    return Serving(name, "benchmarks.contest.service", arguments, _decks(ground))


def _database(name: str, module: str, ground: Ground, python: Path | None) -> Contender:
    if python is None:
        raise ValueError(f"{name} runs in an environment of its own")
    data = CACHE / f"{ENVIRONMENTS[name]}-{ground.key}"
    files = ["--data", str(data), "--templates", str(ground.templates_file), "--probes", str(ground.probes_file)]
    return DatabaseContender(name, python, f"benchmarks.contest.{module}", files)


def _decks(ground: Ground) -> dict[int, Deck]:
    probes = decks.mixed(ground.templates, ground.count, mated=1.0, cosine=SIMILARITY, seed=1)
    return {1: decks.identify(probes), BATCH: decks.identify_batch(probes, BATCH)}
