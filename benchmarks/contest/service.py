"""Peers behind this project's own wire: hnswlib alone, or exact float32 comparison, served as `gerbang serve` is.

python -m benchmarks.contest.service --engine hnswlib --ef 2048 --threads 2 --gallery facelike-100000 --templates ...
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from benchmarks.contenders import THICK, FlatPeer, HnswPeer, ProductPeer
from benchmarks.contest.engines import Engine, FlatBatches, Found, HnswPool
from benchmarks.galleries import Vectors
from benchmarks.loading.decks import subject_of
from benchmarks.noop import NoOp
from grpc import aio

from gerbang.v1.matching_service_pb2 import (
    Candidate,
    IdentifyBatchRequest,
    IdentifyBatchResponse,
    IdentifyRequest,
    IdentifyResponse,
)
from gerbang.v1.matching_service_pb2_grpc import add_MatchingServiceServicer_to_server
from gerbang_service.rpc.registration import add_by_name
from gerbang_service.running.listener import options

ENGINES = ("hnswlib", "faiss-flat", "matrix-product")
_MESSAGE_MB = 64
_MOST_IN_BATCH = 256
_THRESHOLD = 0.4
Context = aio.ServicerContext[Any, Any]


class Service(NoOp):
    """Identify and IdentifyBatch of templates, and nothing else."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def Identify(self, request: IdentifyRequest, context: Context) -> IdentifyResponse:  # noqa: ARG002, N802
        """Return the candidates that are similar enough."""
        return _answer(await self._engine.one(_vector(request)))

    async def IdentifyBatch(  # noqa: N802
        self,
        request: IdentifyBatchRequest,
        context: Context,  # noqa: ARG002
    ) -> IdentifyBatchResponse:
        """Return the same of each."""
        rows, similarities = await self._engine.many(np.stack([_vector(each) for each in request.requests]))
        answers = [_answer(each) for each in zip(rows, similarities, strict=True)]
        return IdentifyBatchResponse(responses=answers)


def _vector(request: IdentifyRequest) -> Vectors:
    return np.frombuffer(request.probe.template.vector, "<f4")


def _answer(found: Found) -> IdentifyResponse:
    pairs = zip(found[0].tolist(), found[1].tolist(), strict=True)
    similar = sorted(((score, row) for row, score in pairs if score >= _THRESHOLD), reverse=True)
    candidates = [
        Candidate(subject_id=subject_of(row), similarity=score, threshold=_THRESHOLD) for score, row in similar
    ]
    return IdentifyResponse(hit=bool(candidates), candidates=candidates, threshold=_THRESHOLD)


async def serve(listen: str, engine: Engine) -> None:
    """Serve until cancelled; prints "listening on HOST:PORT" and "ready", as `gerbang serve` does."""
    server = aio.server(options=options(_MESSAGE_MB))
    add_by_name(server, add_MatchingServiceServicer_to_server, Service(engine))
    port = server.add_insecure_port(listen)
    await server.start()
    print(f"listening on {listen.rpartition(':')[0]}:{port}", flush=True)
    print("ready", flush=True)
    await server.wait_for_termination()


def _engine(wanted: argparse.Namespace) -> Engine:
    templates = np.load(wanted.templates)
    faiss.omp_set_num_threads(wanted.threads)
    match wanted.engine:
        case "hnswlib":
            return HnswPool(HnswPeer(wanted.gallery, templates, THICK), wanted.ef, wanted.threads)
        case "faiss-flat":
            return FlatBatches(FlatPeer(templates).search, _MOST_IN_BATCH)
        case _:
            return FlatBatches(ProductPeer(templates).search, _MOST_IN_BATCH)


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", default="127.0.0.1:0", help="HOST:PORT; port 0: any free one")
    parser.add_argument("--engine", choices=ENGINES, required=True)
    parser.add_argument("--gallery", required=True, help="its name in the cache of indexes")
    parser.add_argument("--templates", type=Path, required=True, help="its rows, .npy")
    parser.add_argument("--ef", type=int, default=512, help="width of hnswlib's search")
    parser.add_argument("--threads", type=int, default=2, help="of hnswlib and faiss; numpy's: OPENBLAS_NUM_THREADS")
    wanted = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(wanted.listen, _engine(wanted)))


if __name__ == "__main__":
    main()
