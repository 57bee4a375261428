"""What a photograph costs beyond its two networks: raw ONNX Runtime, the pipeline, and the service, in turns.

Contenders take turns of a fraction of a second, at the same few photographs, with all cores busy and then one at a
time, so that whatever else the machine does meets all alike; ratios are medians over turns, with the least and the
most. Rates are by the wall's clock; processor time is given too, because the client of the service shares the machine
with it, and other programs may.

    python -m benchmarks.images --json benchmarks/results/images.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import grpc
import numpy as np
from benchmarks.image_inputs import Photo, RawNetworks, detector_sizes, photographs, stages, usable
from benchmarks.machine import describe

from gerbang.v1 import matching_service_pb2 as pb
from gerbang.v1 import sample_pb2
from gerbang_service.domain.faces import FaceChoice
from gerbang_service.faces.packs import FacePack, open_pack
from gerbang_service.faces.pipeline import InsightFacePipeline
from gerbang_service.faces.quality import PROBE
from gerbang_service.threads.cpu_quota import cpu_quota
from running import RunningServer

_SHARED = Path(__file__).resolve().parents[2] / "shared"
# Photographs of a turn, and those of them that are then worked on one at a time, for the latency.
_TURN = 50
_SINGLES = 10
# After the crowd of a turn, until the service takes an image for alone, seconds.
_PAUSE_S = 0.2
_CALLS_PER_CORE = 8
_IDENTIFY = "/gerbang.v1.MatchingService/Identify"
_TICKS_PER_S = 100  # of /proc/PID/stat: USER_HZ is 100 on every Linux architecture in use


@dataclass(slots=True)
class Contender:
    """Something that processes photographs. `crowd`: all of them, by `threads`; `cpu_s`: processor seconds so far."""

    name: str
    crowd: Callable[[Sequence[Photo]], None]
    single: Callable[[Photo], Any]
    cpu_s: Callable[[], float] = time.process_time
    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    alone_ms: list[list[float]] = field(default_factory=list)

    def take_turn(self, photos: Sequence[Photo]) -> None:
        """Process all photographs at once, then a few one by one."""
        cpu, wall = self.cpu_s(), time.perf_counter()
        self.crowd(photos)
        self.rates.append(len(photos) / (time.perf_counter() - wall))
        self.cpu_ms.append((self.cpu_s() - cpu) / len(photos) * 1e3)
        time.sleep(_PAUSE_S)
        alone_ms = []
        for photo in photos[:_SINGLES]:
            wall = time.perf_counter()
            self.single(photo)
            alone_ms.append((time.perf_counter() - wall) * 1e3)
        self.alone_ms.append(alone_ms)

    @property
    def alone(self) -> list[float]:
        """Median latency of each turn, ms."""
        return [statistics.median(each) for each in self.alone_ms]

    def summary(self) -> dict[str, Any]:
        """Return the median rate, mean processor time and percentiles of the latency."""
        p10, p50, p90 = (round(float(each), 2) for each in np.percentile(np.concatenate(self.alone_ms), [10, 50, 90]))
        return {
            "images per second": round(statistics.median(self.rates), 1),
            "processor ms per image": round(statistics.mean(self.cpu_ms), 2),
            "one image alone, ms": {"p10": p10, "p50": p50, "p90": p90},
        }


def by_threads(pool: ThreadPoolExecutor, work: Callable[[Photo], Any]) -> Callable[[Sequence[Photo]], None]:
    """Return what gives photographs to all threads of `pool`."""

    def crowd(photos: Sequence[Photo]) -> None:
        for _ in pool.map(work, photos):
            pass

    return crowd


def one_by_one(work: Callable[[Photo], Any]) -> Callable[[Sequence[Photo]], None]:
    """Return what processes photographs in order."""

    def crowd(photos: Sequence[Photo]) -> None:
        for photo in photos:
            work(photo)

    return crowd


class Service:
    """The service over the wire, closed loop: as soon as a call is answered, the next is sent. Gates stay connected."""

    def __init__(self, server: RunningServer, calls: int) -> None:
        self._pid = server.pid
        self._calls = calls
        self._channel = grpc.insecure_channel(server.address)
        self._identify: Any = self._channel.unary_unary(_IDENTIFY)
        self._runner = asyncio.Runner()
        self._crowd_channel = self._runner.run(_channel(server.address))

    def single(self, photo: Photo) -> bytes:
        """Identify one photograph."""
        return bytes(self._identify(_request(photo), timeout=60))

    def crowd(self, photos: Sequence[Photo]) -> None:
        """Identify all."""
        self._runner.run(self._crowd([_request(photo) for photo in photos]))

    async def _crowd(self, requests: list[bytes]) -> None:
        waiting = iter(requests)
        identify: Any = self._crowd_channel.unary_unary(_IDENTIFY)

        async def caller() -> None:
            for request in waiting:
                await identify(request, timeout=60)

        await asyncio.gather(*(caller() for _ in range(self._calls)))

    def cpu_s(self) -> float:
        """Return the server's processor time, seconds."""
        after_name = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / _TICKS_PER_S

    def close(self) -> None:
        """Close the channels."""
        self._channel.close()
        self._runner.run(self._crowd_channel.close())
        self._runner.close()


async def _channel(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address)


def _request(photo: Photo) -> bytes:
    return pb.IdentifyRequest(probe=sample_pb2.Sample(image=photo.file)).SerializeToString()


def race(
    pack: FacePack, pipeline: InsightFacePipeline, folder: Path, photos: Sequence[Photo], rounds: int
) -> dict[str, Any]:
    """Let all contenders take turns; return their figures, and the ratios that count."""
    cores = cpu_quota()

    def extract(photo: Photo) -> None:
        pipeline.extract(photo.file, FaceChoice.LARGEST, PROBE, lambda: None)

    with (
        ThreadPoolExecutor(cores) as pool,
        tempfile.TemporaryDirectory() as data,
        RunningServer(Path(data) / "data", "--pack", str(folder)) as server,
    ):
        service = Service(server, _CALLS_PER_CORE * cores)
        narrow = RawNetworks.of(pack)
        wide = RawNetworks.wide(folder, pack.detector.width, cores)
        brief = RawNetworks(pack.detector.wide_session, pack.embedder.wide_session)
        contenders = [
            Contender("raw, one thread a session", by_threads(pool, narrow.run), narrow.run),
            Contender("raw, all cores one session", one_by_one(wide.run), wide.run),
            Contender("raw, the same, spinning briefly", one_by_one(brief.run), brief.run),
            Contender("pipeline", by_threads(pool, extract), extract),
            Contender("service", service.crowd, service.single, service.cpu_s),
        ]
        client_ms = []
        turns = [photos[i : i + _TURN] for i in range(0, len(photos) - _TURN + 1, _TURN)]
        for turn in [turns[0], *turns * rounds]:
            for each in contenders:
                cpu = time.process_time()
                each.take_turn(turn)
                client = (time.process_time() - cpu) / (_TURN + _SINGLES) * 1e3
            client_ms.append(client)
            print({each.name: round(each.rates[-1], 1) for each in contenders}, flush=True)
        service.close()
    return figures(contenders, statistics.median(client_ms))


def figures(contenders: Sequence[Contender], client_ms: float) -> dict[str, Any]:
    """Return all figures, without the first turn, which warms up."""
    for each in contenders:
        del each.rates[0], each.cpu_ms[0], each.alone_ms[0]
    raw, wide, brief, pipeline, service = contenders
    best = min((raw, wide, brief), key=lambda each: statistics.median(each.alone))
    ratios = {}
    for each in (pipeline, service):
        ratios[f"{each.name}'s rate to raw"] = ratio(each.rates, raw.rates)
        ratios[f"raw processor time to the {each.name}'s"] = ratio(raw.cpu_ms, each.cpu_ms)
        ratios[f"{each.name} alone to best raw alone"] = ratio(each.alone, best.alone)
        ratios[f"{each.name} alone to single-threaded raw alone"] = ratio(each.alone, raw.alone)
    return {
        **{each.name: each.summary() for each in contenders},
        "client's processor ms per image": round(client_ms, 2),
        "best raw alone": best.name,
        "ratios": ratios,
    }


def ratio(values: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """Return the median, least and most of the turns' ratios."""
    ratios = [value / other for value, other in zip(values, others, strict=True)]
    of = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
    return {name: round(each, 2) for name, each in of.items()}


def main() -> int:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pack", type=Path, default=_SHARED / "packs" / "scrfd500m_mobilefacenet")
    parser.add_argument("--faces", type=Path, default=_SHARED / "faces" / "lfw")
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-sizes", action="store_true", help="leave out the comparison of detector sizes")
    parser.add_argument("--json", type=Path, help="write the result to this file too")
    wanted = parser.parse_args()
    pack = open_pack(str(wanted.pack), 320, threads=cpu_quota())
    files = photographs(wanted.faces, wanted.photos)
    photos = usable(pack, files)
    pipeline = InsightFacePipeline(pack, photos[0].limits)
    result: dict[str, Any] = {"machine": describe(), "photographs": len(photos), "rounds": wanted.rounds}
    result["race"] = race(pack, pipeline, wanted.pack, photos, wanted.rounds)
    result["stages, processor ms"] = stages(pack, photos)
    if not wanted.no_sizes:
        result["detector sizes"] = detector_sizes(wanted.pack, files)
    text = json.dumps(result, indent=2)
    print(text)
    if wanted.json:
        wanted.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
