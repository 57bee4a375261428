"""Milvus Lite, asked by pymilvus over gRPC. Runs in the virtual environment of one of its generations.

The first generation (up to 2.5) starts a C++ server for a .db file; the second (3.0 and up) is written in Python, and
its server is started here. Settings: {"index": "FLAT" | ..., "build": {...}, "search": {...}}.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.contest.closed_loop import Vectors
from benchmarks.contest.commands import serve
from pymilvus import DataType, MilvusClient

# The first generation takes a hundred times as long for each of 5,000.
_BLOCK = 500


class Milvus:
    """One collection of the templates for each kind of index, filled and built when first asked for."""

    def __init__(self, uri: str, templates: Vectors) -> None:
        self._templates = templates
        self._client = MilvusClient(uri)
        self._collection = ""
        self._search: dict[str, Any] = {}

    def versions(self) -> dict[str, str]:
        """Return the versions of milvus-lite and pymilvus."""
        return {name: metadata.version(name) for name in ("milvus-lite", "pymilvus")}

    def apply(self, options: dict[str, Any]) -> None:
        """Choose the collection and the parameters of a search."""
        index, build = options["index"], options.get("build", {})
        name = "_".join(["faces", index.lower(), *(f"{key.lower()}{value}" for key, value in build.items())])
        # One collection in memory at a time, as a service would have it.
        for each in self._client.list_collections():
            if each != name:
                self._client.release_collection(each)
        if not self._client.has_collection(name) or not self._client.list_indexes(name):
            self._make(name, index, build)
        self._client.load_collection(name)
        self._collection = name
        self._search = {"metric_type": "IP", "params": options.get("search", {})}

    def _make(self, name: str, index: str, build: dict[str, Any]) -> None:
        started = time.monotonic()
        if self._client.has_collection(name):
            self._client.drop_collection(name)
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=self._templates.shape[1])
        self._client.create_collection(name, schema=schema)
        for start in range(0, len(self._templates), _BLOCK):
            block = self._templates[start : start + _BLOCK]
            self._client.insert(name, [{"id": start + row, "v": each} for row, each in enumerate(block)])
        self._client.flush(name)
        wanted = self._client.prepare_index_params()
        wanted.add_index("v", index_type=index, metric_type="IP", params=build)
        self._client.create_index(name, wanted)
        print(f"milvus-lite: made {name} in {time.monotonic() - started:.0f} s", flush=True)

    def session(self) -> _Session:
        """Return a client's view of the one connection: pymilvus closes what equal clients share with any of them."""
        return _Session(self._client, self._collection, self._search)


class _Session:
    def __init__(self, client: MilvusClient, collection: str, search: dict[str, Any]) -> None:
        self._client = client
        self._collection = collection
        self._search = search

    def answer(self, probes: Vectors) -> Sequence[Sequence[int]]:
        found = self._client.search(
            self._collection, data=list(probes), anns_field="v", limit=5, search_params=self._search
        )
        return [[each["id"] for each in hits] for hits in found]

    def close(self) -> None:
        """Leave the connection to the others."""


@contextmanager
def _opened(data: Path, templates: Vectors) -> Iterator[Milvus]:
    data.mkdir(parents=True, exist_ok=True)
    if int(metadata.version("milvus-lite").partition(".")[0]) < 3:
        # pymilvus ends the server when this process exits.
        yield Milvus(str(data / "faces.db"), templates)
        return
    command = [
        sys.executable,
        "-u",
        "-m",
        "milvus_lite",
        "server",
        "--data-dir",
        str(data),
        "--port",
        str(_free_port()),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as server:
        try:
            assert server.stdout is not None  # noqa: S101 - a pipe was asked for
            address = re.search(r"listening on (\S+)", server.stdout.readline())
            if address is None:
                raise RuntimeError("milvus-lite did not start")
            yield Milvus(f"http://{address[1]}", templates)
        finally:
            server.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    serve(_opened)
