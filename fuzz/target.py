"""What the targets share: running one, and seeds for it.

Every exception that is not one of the domain's own ends the run and is a finding, and so do an input that takes more
than five seconds and memory above two gigabytes. The input is then in the target's folder below build/fuzz.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import atheris

BUILD: Final = Path("build/fuzz")
_SLOWEST_S, _LARGEST_MB = 5, 2048


def run(name: str, seeds: Callable[[], Iterable[bytes]], one: Callable[[bytes], object], *, longest: int) -> None:
    """Fuzz `one` for FUZZ_SECONDS (60) from `seeds` and what earlier runs found; does not return.

    `longest`: of an input, bytes.
    """
    logging.disable(logging.CRITICAL)
    corpus = BUILD / name / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    seconds = os.environ.get("FUZZ_SECONDS", "60")
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={longest}",
        f"-timeout={_SLOWEST_S}",
        f"-rss_limit_mb={_LARGEST_MB}",
        f"-artifact_prefix={BUILD / name}/",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:], str(corpus)], one)
    atheris.Fuzz()


def costly_seeds(longest: int) -> Iterator[bytes]:
    """Yield the tests' costly files, up to so many bytes, and of those of millions of pieces some with a few.

    A fuzzer that starts from them need not find out by itself what a tile part, a COC or a lossless frame looks like.
    """
    from hostile.costly import ELABORATE, REPEATED

    for make in ELABORATE.values():
        if len(file := make()) <= longest:
            yield file
    for repeat, _ in REPEATED.values():
        if len(file := repeat(3)) <= longest:
            yield file
