"""How misses, rates and latencies are measured.

Rates are searches a second of this process's processor time: the machine may be shared, and every contender has one
thread. Latencies are given by the clock on the wall as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from benchmarks.galleries import Probes, Rows, Vectors

BATCH = 32
_ROUNDS = 7
# What one contender gets of a round, seconds, and batches at least and at most.
_ROUND_S = 0.6
_BATCHES = (2, 40)
_SINGLES = 1000


@dataclass(frozen=True, slots=True)
class Contender:
    """Something that answers a batch of probes with rows. `prepare`: called before its turn."""

    name: str
    answer: Callable[[Vectors], Rows]
    prepare: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Misses:
    """Mates that were not in the answer, of so many; and the searches a second meanwhile."""

    probes: int
    missed: int
    per_s: float

    @property
    def rate(self) -> float:
        """Share of the mates that were missed."""
        return self.missed / self.probes


def missed(contender: Contender, asked: Probes, most: int, give_up: int | None = None) -> Misses:
    """Search for up to `most` probes in batches; stop early after `give_up` misses: the rate is known well enough."""
    contender.prepare()
    lost = done = 0
    spent = 0.0
    most = min(most, len(asked.mates))
    while done < most and (give_up is None or lost <= give_up or done < 500):
        batch = slice(done, min(done + BATCH, most))
        started = time.process_time()
        rows = contender.answer(asked.probes[batch])
        spent += time.process_time() - started
        lost += int((~(rows == asked.mates[batch, np.newaxis]).any(axis=1)).sum())
        done = batch.stop
    return Misses(done, lost, round(done / spent, 1))


def race(contenders: Sequence[Contender], probes: Vectors) -> dict[str, dict[str, float]]:
    """Measure rates in turns, so that what else the machine does meets all alike; median, least and most of a round."""
    rates: dict[str, list[float]] = {each.name: [] for each in contenders}
    for _ in range(_ROUNDS):
        for each in contenders:
            each.prepare()
            rates[each.name].append(_rate(each, probes))
    return {
        name: {"per_s": round(float(np.median(each)), 1), "least": round(min(each), 1), "most": round(max(each), 1)}
        for name, each in rates.items()
    }


def _rate(contender: Contender, probes: Vectors) -> float:
    starts = range(0, max(len(probes) - BATCH, 1), BATCH)
    done, started = 0, time.process_time()
    while done < _BATCHES[0] or (done < _BATCHES[1] and time.process_time() - started < _ROUND_S):
        start = starts[done % len(starts)]
        contender.answer(probes[start : start + BATCH])
        done += 1
    return done * BATCH / (time.process_time() - started)


def latency(contender: Contender, probes: Vectors, count: int = _SINGLES) -> dict[str, float]:
    """Search one at a time; p50 and p99, microseconds, by the wall's clock and of processor time."""
    contender.prepare()
    walls, processors = [], []
    for i in range(min(count, len(probes))):
        wall, processor = time.perf_counter(), time.process_time()
        contender.answer(probes[i : i + 1])
        processors.append(time.process_time() - processor)
        walls.append(time.perf_counter() - wall)
    of_processor = {f"processor_{name}": value for name, value in percentiles(processors).items()}
    return {**percentiles(walls), **{name: of_processor[name] for name in ("processor_p50", "processor_p99")}}


def percentiles(times: Sequence[float]) -> dict[str, float]:
    """Return p50 and p99 of seconds, in microseconds."""
    p50, p99 = np.percentile(times, [50, 99]) * 1e6
    return {"p50": round(float(p50), 1), "p99": round(float(p99), 1), "count": len(times)}
